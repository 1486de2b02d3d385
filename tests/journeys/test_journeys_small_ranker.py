"""The way out for a query that is short of time, on a bundle as training makes it."""

from pathlib import Path

from slatewise.wiring.home import Home

HURRY = {"ranking.small_below_ms": 60_000.0, "telemetry.impressions": "off"}


def test_small_ranker_answers_where_little_time_is_left(home_copy: Path) -> None:
    with Home(home_copy, settings=HURRY) as home:
        answer = home.recommend("u1")
    assert answer.degraded == ("ranking: small ranker, little time left",)
    assert len(answer.items) == 10

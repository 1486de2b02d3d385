"""Re-ranking over a real folder: boosts from settings, propensities in the log, and the price of each rule."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slatewise.domain.errors import ConfigError, InputError
from slatewise.domain.events import Interaction, ItemChange
from slatewise.evaluation.off_policy import POLICIES
from slatewise.storage.log import SqliteEventLog
from slatewise.testing.worlds import START, batched, walkers
from slatewise.wiring.home import Home

SPECTRAL = {"training.deep": "off", "training.dim": 16}
NOW = START + 31 * 86_400.0


class Clock:
    """Stands still just after the last event."""

    def now(self) -> float:
        return NOW

    def elapsed_ms(self) -> float:
        return 0.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reranking") / "home"
    items, users, events = walkers()
    with Home(path, settings=SPECTRAL) as home:
        home.put_items(items)
        home.put_users(users)
        for batch in batched(events, 1000):
            home.record(batch)
        home.train(holdout="last-item")
    return path


@pytest.fixture
def opened(folder: Path) -> Iterator[Callable[..., Home]]:
    homes: list[Home] = []

    def make(**reranking: Any) -> Home:
        rules = {f"reranking.{name}": value for name, value in reranking.items()}
        homes.append(Home(folder, settings={**SPECTRAL, "cache.max_bytes": 0, **rules}, clock=Clock()))
        return homes[-1]

    yield make
    for home in homes:
        home.close()


def test_boosts_of_the_settings_change_the_slate_and_the_explanation_says_where(opened: Callable[..., Home]) -> None:
    past = ["c2-1", "c2-2"]
    plain = opened().recommend(history=past, size=10)
    boost = {"where": {"categories": ("kind3", "kind4")}, "factor": 1000.0}
    told = opened(boosts=[boost]).recommend(history=past, size=10, explain=True)
    assert not all(item.item_id[:2] in ("c3", "c4") for item in plain.items)
    assert [item.item_id[:2] for item in told.items[:3]] != [item.item_id[:2] for item in plain.items[:3]]
    assert {item.item_id[:2] for item in told.items[:3]} <= {"c3", "c4"}
    why = {c.position: (c.reason, c.propensity) for c in told.explanation or () if c.position is not None}
    assert why[0] == ("boosted", 1.0)
    unchanged = opened(boosts=[{**boost, "factor": 1}]).recommend(history=past, size=10)
    assert [item.item_id for item in unchanged.items] == [item.item_id for item in plain.items]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"colour": "red"}, r"reranking\.boosts\[0\]\.where\.colour: got 'red', expected one of categories"),
        ({"title": {"lt": 5}}, r"reranking\.boosts\[0\]\.where\.title\.lt: got 5, expected text"),
    ],
)
def test_a_boost_the_catalogue_cannot_answer_is_refused_before_anything_is_served(
    opened: Callable[..., Home], where: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        opened(boosts=[{"where": where, "factor": 2}]).recommend("u1")


def test_what_was_explored_is_logged_with_its_propensity_and_can_be_estimated_from(
    opened: Callable[..., Home],
) -> None:
    home = opened(exploration=0.5)
    home.put_items([ItemChange(at=NOW, item_id=f"new-{k}", title="Item of kind2", created_at=NOW) for k in range(4)])
    answers = {a.request_id: a for a in (home.recommend(f"u{user}", size=4) for user in range(60))}
    for answer in list(answers.values())[:30]:
        clicked = Interaction(
            user_id="u1", item_id=answer.items[-1].item_id, action="click", at=NOW, request_id=answer.request_id
        )
        home.record(clicked)
    home.close()
    with SqliteEventLog(home.folders.log, home.settings.action_names) as log:
        logged = {shown.request_id: shown for _, shown in log.impressions()}
    assert set(logged) == set(answers)
    for shown in logged.values():
        assert shown.propensity is not None
        assert shown.propensity[:-1] == (1.0,) * 3
        drawn = shown.explored_from
        assert shown.propensity[-1] == pytest.approx(0.5 / drawn if drawn else 0.5)
        assert (drawn > 0) == shown.shown[-1].startswith("new-")
    assert 10 <= sum(shown.explored_from > 0 for shown in logged.values()) <= 50
    for policy in POLICIES:
        rates = opened().click_rates(policy)
        assert [rate.place for rate in rates] == [0, 1, 2, 3]
        assert [rate.snips for rate in rates[:3]] == [0.0] * 3
        assert 0.2 < rates[3].snips < 0.8
        assert rates[3].places == 60


def test_rules_are_priced_on_the_very_slates_of_the_evaluation(opened: Callable[..., Home]) -> None:
    home = opened(cap=1, diversity=0.5)
    report = home.evaluate(split="last-item").to_json()
    costs = home.reranking_costs(split="last-item")
    rules = {rule.rule: rule for rule in costs.rules}
    assert (costs.cases, costs.bundle) == (report["queries"], report["bundle"])
    assert rules["ranked order"].ndcg == pytest.approx(report["stages"]["ranked"]["ndcg@10"])
    assert rules["all as set"].ndcg == pytest.approx(report["stages"]["final"]["ndcg@10"])
    assert rules["cap 1"].distinct > rules["ranked order"].distinct
    assert rules["cap 1"].difference < 0
    assert home.reranking_costs(split="last-item", max_cases=7).cases == 7


def test_pricing_a_bundle_that_saw_the_answers_is_refused(opened: Callable[..., Home]) -> None:
    with pytest.raises(InputError, match=r"split: got 'time', expected the holdout .*last-item"):
        opened().reranking_costs(split="time")

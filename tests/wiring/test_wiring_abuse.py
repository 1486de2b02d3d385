"""One user's flood, through the door and the log: what everybody else is shown stays what it was."""

from pathlib import Path

import pytest

from slatewise.domain.events import Interaction, ItemChange
from slatewise.testing.worlds import batched, walkers
from slatewise.wiring.home import Home

REPEATS = 2_000
"""Enough to be first by far; `tests/features` counts ten thousand."""


@pytest.mark.parametrize("repeats", [3, 0])
def test_one_users_flood_takes_over_what_trends_only_where_the_cap_is_off(tmp_path: Path, repeats: int) -> None:
    settings = {"training.deep": "off", "training.dim": 16, "abuse.repeats": repeats}
    items, users, events = walkers()
    at = max(event.at or 0.0 for event in events) + 1.0
    with Home(tmp_path / "home", settings=settings) as home:
        home.put_items([*items, ItemChange(at=1.0, item_id="pushed", categories=("kind1",))])
        home.put_users(users)
        for batch in batched(events, 1000):
            home.record(batch)
        home.train()
        before = home.trending(10)
        flood = [Interaction(user_id="attacker", item_id="pushed", action="click", at=at + i) for i in range(REPEATS)]
        for batch in batched(flood, 1000):
            home.record(batch)
        is_capped = "pushed" not in before and home.trending(10) == before
    with Home(tmp_path / "home", settings=settings) as home:
        assert ("pushed" not in home.trending(10)) == is_capped == bool(repeats), "folded from the log at the start"
        home.train()
        assert ("pushed" not in home.trending(10)) == is_capped, "and counted in training"
        assert home.recommend("attacker").items, "who repeats goes on being answered"

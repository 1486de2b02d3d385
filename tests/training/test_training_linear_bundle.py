from pathlib import Path

import numpy as np
import pytest

import slatewise
from slatewise.domain.events import ItemChange
from slatewise.testing.worlds import item_name, walkers
from slatewise.wiring.home import Home

LINEAR = {"training.deep": "off", "training.dim": 16, "telemetry.impressions": "off"}


def hit_rate(home: Home, last: dict[str, str]) -> float:
    return float(np.mean([item in [i.item_id for i in home.recommend(user).items] for user, item in last.items()]))


@pytest.fixture(scope="module")
def world() -> tuple[list, list, dict[str, str]]:
    items, _, events = walkers(users=100, steps=20)
    last = {event.user_id: event.item_id for event in events}
    ends = {id(event) for event in {event.user_id: event for event in events}.values()}
    return items, [event for event in events if id(event) not in ends], last


@pytest.mark.parametrize("factors", ["spectral", "als"])
@pytest.mark.parametrize("lists", ["auto", "off"])
def test_bundles_without_deep_models_serve_what_they_say(world, factors: str, lists: str, tmp_path: Path) -> None:
    items, known, last = world
    settings = LINEAR | {"training.factors": factors, "training.lists": lists}
    with slatewise.open(tmp_path / "home", settings=settings) as home:
        home.put_items(items)
        home.record(known)
        facts = home.train().facts
        assert facts["kind"] == factors
        assert (facts["linear"] or {}).get("family") == ("following" if lists == "auto" else None)
        found = hit_rate(home, last)
    with slatewise.open(tmp_path / "home", settings=settings) as home:
        assert hit_rate(home, last) == found, "a bundle read from disk answers alike"
    # In this world only the last item counts, which a sum over the history cannot know.
    assert found > (0.6 if lists == "auto" else 0.12)


def test_a_new_item_is_placed_by_its_attributes_in_a_linear_bundle(world, tmp_path: Path) -> None:
    items, known, _ = world
    with slatewise.open(tmp_path / "home", settings=LINEAR | {"training.lists": "off"}) as home:
        home.put_items(items)
        home.record([event for event in known if event.item_id != item_name(3, 4)])
        home.train()
        home.put_items([ItemChange(at=1.71e9, item_id="new", title="Item of kind3", categories=("kind3",))])
        similar = [answer.item_id for answer in home.similar("new", 10)]
        withheld = [answer.item_id for answer in home.similar(item_name(3, 4), 10)]
    own_kind = {item_name(3, k) for k in range(10)}
    assert len(own_kind & set(similar)) >= 6
    assert len(own_kind & set(withheld)) >= 6, "as has an item without interactions that was there at training"

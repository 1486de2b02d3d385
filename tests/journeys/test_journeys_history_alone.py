from pathlib import Path

import numpy as np
import pytest

import slatewise
from slatewise.domain.holdout import last_of_each_user
from slatewise.domain.query import PastAction
from slatewise.testing.worlds import walkers

QUICK = {
    "training.dim": 16,
    "training.history_length": 20,
    "training.epochs": 2,
    "training.batch_size": 8,
    "training.ranker": "off",
    "telemetry.impressions": "off",
    "cache.max_bytes": 0,
}


@pytest.mark.parametrize("deep", ["off", "on"])
def test_figures_are_the_same_after_every_user_was_deleted(deep: str, tmp_path: Path) -> None:
    """No user has parameters: what is recommended comes from the recent history, wherever that comes from."""
    if deep == "on":
        pytest.importorskip("torch", reason="training needs the extra slatewise[train]")
    items, _, events = walkers(users=60, steps=15)
    last = {event.user_id: event for event in events}
    known = [event for event in events if event is not last[event.user_id]]
    with slatewise.open(tmp_path / "home", settings=QUICK | {"training.deep": deep}) as home:
        home.put_items(items)
        home.record(known)
        facts = home.train().facts
        assert facts["kind"] == ("deep" if deep == "on" else "spectral")
        stored = {user: ids(home.recommend(user)) for user in last}
        counted = home._log.interactions(0, home.version)
        assert last_of_each_user(counted).sum() == len(last), "the users are there to be forgotten"
        for user in last:
            home.delete_user(user)
        past = {
            user: [PastAction(item_id=e.item_id, action=e.action, at=e.at) for e in known if e.user_id == user]
            for user in last
        }
        alone = {user: ids(home.recommend(history=past[user])) for user in last}
    assert alone == stored
    assert all(len(slate) == 10 for slate in alone.values())
    hit = np.mean([last[user].item_id in slate for user, slate in alone.items()])
    assert hit > 0.5, "and the figures are worth keeping"


def ids(answer: slatewise.Answer) -> list[str]:
    return [item.item_id for item in answer.items]

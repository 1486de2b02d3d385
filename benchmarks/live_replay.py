"""Features as served equal features as replayed, bit for bit: events in batches of any size, restarts in between.

A HOME with a trained ranker takes events one by one and in batches; every so often some users' slates are asked for
with an explanation, which holds what the ranker read. Now and then the HOME is closed and opened again. Then the log is
read once, folded as training folds it up to each question, and every value is compared.

    python benchmarks/live_replay.py --events 100000

The last line is JSON. Tests run the same with fewer events.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from slatewise.datasets.shop.export import write_shop
from slatewise.datasets.shop.generate import generate
from slatewise.datasets.shop.settings import ShopSettings
from slatewise.domain.candidate import Candidates
from slatewise.domain.events import Interaction
from slatewise.domain.history import History
from slatewise.domain.holdout import history_order
from slatewise.domain.query import Query
from slatewise.features.attributes import describe
from slatewise.features.content import Content, ContentLayout
from slatewise.features.frame import DenseFrame
from slatewise.features.popularity import Popularity
from slatewise.features.shares import Shares
from slatewise.features.state import CountedState
from slatewise.training.moments import Moment
from slatewise.training.slates import as_resolved
from slatewise.wiring.home import Home

SETTINGS = {
    "training.deep": "on",
    "training.lists": "off",
    "training.epochs": 4,
    "training.batch_size": 8,
    "training.negatives": 64,
    "training.history_length": 20,
    "training.dim": 16,
    "training.ranker_minutes": 1.0,
    "training.ranker_epochs": 5,
    "telemetry.impressions": "off",
    "cache.max_bytes": 0,
}
WORLD = ShopSettings(n_items=80, n_users=50)
"""A shop with attributes, times and logged slates, so that every column has something to say."""
BATCHES = (1, 1, 2, 7, 60, 600)
"""Events recorded at once, drawn evenly: singles, and more than the counters fold one by one."""
ASKED = 4
LATE = 0.02
"""Share of the events that come an hour after they happened."""


def compare(folder: Path, events: int, restarts: int, seed: int = 0) -> dict:
    """Run and return counts; ``unequal`` is how many values differ, NaN being equal to NaN."""
    rng = np.random.default_rng(seed)
    world, _ = generate(WORLD)
    write_shop(world, folder.with_name(f"{folder.name}-data"))
    home = Home(folder, settings=SETTINGS)
    home.import_data(folder.with_name(f"{folder.name}-data"))
    facts = home.train().facts
    if not facts.get("ranker", {}).get("shipped") or "tastes" not in facts:
        raise SystemExit(f"the world's bundle has no ranker, or no tastes: {facts}")
    at = WORLD.end + 60.0
    user_ids = [user.user_id for user in world.users] + [f"new-{i}" for i in range(20)]
    item_ids = [item.item_id for item in world.items]
    actions = home.settings.action_names
    done, served, opened = 0, [], 0
    while done < events:
        size = min(int(rng.choice(BATCHES)), events - done)
        times = at + np.sort(rng.uniform(0, 5.0 * size, size))
        batch = [
            Interaction(
                user_id=user_ids[u],
                item_id=item_ids[i],
                action=actions[a],
                at=float(t - 3600.0 * (rng.random() < LATE)),
            )
            for u, i, a, t in zip(
                rng.integers(0, len(user_ids), size),
                (rng.zipf(1.5, size) - 1) % len(item_ids),
                rng.integers(0, len(actions), size),
                times,
                strict=True,
            )
        ]
        version = home.record(batch).version
        at, done = float(times[-1]) + 1.0, done + size
        if done * (restarts + 1) > events * (opened + 1):
            home.close()
            home, opened = Home(folder, settings=SETTINGS), opened + 1
        if rng.random() < 0.2 or done == events:
            served += [asked(home, str(user), at, version) for user in rng.choice(user_ids, ASKED, replace=False)]
    found = replayed(home, [one for one in served if one is not None])
    home.close()
    return {"events": done, "restarts": opened, "slates": len(served), **found}


def asked(home: Home, user_id: str, at: float, version: int):
    """Return what the ranker read for a user now; None where nothing was ranked."""
    query = Query(request_id="", at=at, user_id=user_id, explain=True, deadline_ms=60_000.0, min_version=version)
    evidence = home.slate(query).evidence
    return None if evidence is None or not evidence.row.size else (user_id, at, version, evidence)


def replayed(home: Home, served: list) -> dict:
    """Fold the log anew, from nothing and as training does, and compare every value that was served."""
    live, log, settings = home._engine.current().live, home._log, home.settings
    interactions = log.interactions(0, log.end)
    users = log.user_rows({user_id for user_id, *_ in served})
    people = home._users.attributes()
    landmark, shares = live.state.popularity.landmark, Shares.of(settings.abuse)
    state = CountedState(settings.positive_actions, Popularity(landmark), shares=shares)
    codes = {name: settings.action_names.index(name) for name in live.models.actions}
    lists = (live.neighbours.relation, live.neighbours.weight) if live.neighbours else ()
    described = [describe(home.catalogue.item(row)) for row in range(len(home.catalogue))]
    layout = ContentLayout.of(live.models.items.schema)
    tokens = layout.pack(live.models.items.encode(described))
    content = Content(layout, lambda rows: tokens[rows])
    frame = DenseFrame(
        state, home.catalogue, live.vectors, codes, content, *lists, wanted=live.models.features, spaces=live.spaces()
    )
    folded = values = 0
    wrong = np.zeros(len(frame.names), np.int64)
    for user_id, at, version, evidence in served:
        upto = int(np.searchsorted(interactions.offset, version))
        state.fold(interactions.take(slice(folded, upto)))
        folded = upto
        user = users.get(user_id, -1)
        known = interactions.take(slice(0, upto))
        own = known.take(known.user == user)
        own = own.take(history_order(own))
        history = History(own.item, own.action, own.at)
        attributes = people[user].attributes if user in people else {}
        vector = live.encode_user(history.last(settings.storage.history_length), attributes, {})
        moment = Moment(user=user, at=at, offset=version, history=history, wanted={})
        query = as_resolved(moment, vector, settings.seen_actions, settings.storage.history_length)
        again = frame.read(query, Candidates.of("replay", evidence.row, np.zeros(evidence.row.size, np.float32)))
        same = (again == evidence.features) | (np.isnan(again) & np.isnan(evidence.features))
        values += same.size
        wrong += (~same).sum(0)
    columns = {name: count for name, count in zip(frame.names, wrong.tolist(), strict=True) if count}
    return {"values": values, "unequal": int(wrong.sum()), "columns": columns, "features": len(frame.names)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--restarts", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        found = compare(Path(scratch) / "home", given.events, given.restarts, given.seed)
    print(json.dumps(found | {"s": round(time.perf_counter() - start, 1)}))


if __name__ == "__main__":
    main()

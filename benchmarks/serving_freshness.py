"""From an acknowledged event to the slate that reflects it: how long, how much longer than any slate, how often.

    python benchmarks/serving_freshness.py --folder F [--items 1000000] [--rounds 300]

In process, one thread, with the result cache on. Each round: a slate for a user of 50 interactions (never asked
before, so computed), a click on one of its items, acknowledged and durable, and at once the next slate. That one
counts as reflecting the event where it is of the event's version or newer, was not kept from before, and differs in
items or scores. The HOME is copied first and left as it was.
"""

import argparse
import json
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from serving_home import built
from serving_uncached import CASCADE, asked_users

from slatewise.wiring.home import Home

SETTINGS = CASCADE | {"cache.max_bytes": 64_000_000}
WARM = 30


def spent(call):
    """Return the milliseconds on the clock, those of this thread's processor time, and what came of it."""
    wall, cpu = time.perf_counter(), time.thread_time()
    answer = call()
    return (time.perf_counter() - wall) * 1000.0, (time.thread_time() - cpu) * 1000.0, answer


def measured(home, rounds):
    reflected, took = 0, {"uncached": [], "event": [], "after": []}
    for turn, user in enumerate(asked_users(home, WARM + rounds)):
        *first, before = spent(lambda user=user: home.recommend(user))
        clicked = before.items[turn % len(before.items)].item_id
        *written, receipt = spent(
            lambda user=user, clicked=clicked: home.record(user_id=user, item_id=clicked, action="click")
        )
        *again, after = spent(lambda user=user: home.recommend(user))
        if turn < WARM:
            continue
        for name, value in (("uncached", first), ("event", written), ("after", again)):
            took[name].append(value)
        changed = [(i.item_id, i.score) for i in before.items] != [(i.item_id, i.score) for i in after.items]
        reflected += after.as_of >= receipt.version and not after.cached and changed
    wall = {name: np.array([value[0] for value in values]) for name, values in took.items()}
    cpu = {name: np.array([value[1] for value in values]) for name, values in took.items()}
    return {
        "rounds": len(wall["after"]),
        "reflected": round(reflected / len(wall["after"]), 5),
        "event_to_slate_ms": _told(wall["after"]),
        "uncached_ms": _told(wall["uncached"]),
        "event_ms": _told(wall["event"]),
        "added_ms": round(float(np.median(wall["after"]) - np.median(wall["uncached"])), 4),
        "added_cpu_ms": round(float(np.median(cpu["after"]) - np.median(cpu["uncached"])), 4),
    }


def _told(values):
    return dict(zip(("p50", "p99"), np.percentile(values, [50, 99]).round(3).tolist(), strict=True))


def measure(home, *, rounds=300):
    """Measure a copy of the HOME folder *home*, made by `serving_home`."""
    with copied(home) as copy, Home(copy, settings=SETTINGS) as opened:
        return measured(opened, rounds)


@contextmanager
def copied(home):
    """Yield a copy of the folder *home* beside it, for what writes or promotes."""
    with tempfile.TemporaryDirectory(dir=Path(home).parent) as scratch:
        yield Path(shutil.copytree(home, Path(scratch) / "home"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=300)
    given = parser.parse_args()
    print(json.dumps(measure(built(given.folder, given.items)[0], rounds=given.rounds)))


if __name__ == "__main__":
    main()

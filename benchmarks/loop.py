"""Promise: an acknowledged event shapes the very next slate, in milliseconds. In-process, one thread, closed loop.

    python benchmarks/loop.py --home HOME [--rounds 300] [--set index.kind=hnsw]

HOME needs a live bundle; it is copied first and left as it was. Prints a table, and one JSON line last: p50, p99 of an
uncached slate, a cached one, a durable event, and event plus next slate; ``reflected`` counts the slates that reflect
their event, of ``rounds``.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from slatewise.cli.options import open_home


def timed(call):
    start = time.perf_counter()
    answer = call()
    return (time.perf_counter() - start) * 1000, answer


def measure(home, rounds, rng):
    rows = np.flatnonzero(home.catalogue.available)
    users = [f"bench-{n}" for n in range(rounds)]
    took = {"uncached": [], "cached": [], "event": [], "event_to_slate": []}
    reflected = 0
    for user in users:
        for item in home.catalogue.ids(rng.choice(rows, 5)):
            home.record(user_id=user, item_id=item, action="click")
        spent, first = timed(lambda user=user: home.recommend(user))
        took["uncached"].append(spent)
        spent, again = timed(lambda user=user: home.recommend(user))
        took["cached"].append(spent)
        assert again.cached
        assert not first.cached
        clicked = first.items[-1].item_id
        spent, receipt = timed(
            lambda user=user, clicked=clicked: home.record(user_id=user, item_id=clicked, action="click")
        )
        took["event"].append(spent)
        more, after = timed(lambda user=user: home.recommend(user))
        took["event_to_slate"].append(spent + more)
        reflected += after.as_of >= receipt.version and not after.cached
    return took, reflected


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override a setting")
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(shutil.copytree(given.home, Path(scratch) / "home"))
        with open_home(copy, given.set) as home:
            took, reflected = measure(home, given.rounds, np.random.default_rng(0))
            items = int(home.catalogue.available.sum())
    result = {
        name: dict(zip(("p50_ms", "p99_ms"), np.percentile(values, [50, 99]).round(3).tolist(), strict=True))
        for name, values in took.items()
    }
    if not given.json:
        for name, value in result.items():
            print(f"{name:<16} p50 {value['p50_ms']:8.3f} ms   p99 {value['p99_ms']:8.3f} ms")
    print(json.dumps({**result, "rounds": given.rounds, "reflected": int(reflected), "items": items}))


if __name__ == "__main__":
    main()

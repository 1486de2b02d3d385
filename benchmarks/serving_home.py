"""The HOME that serving is measured on: a large catalogue, long histories, towers, and the ranker in its full size.

    python benchmarks/serving_home.py --folder F [--items 1000000]

Made once and reused: each step that is done leaves a mark in the folder. The histories are those of `training.py`, with
actions; items have a category, a brand, a colour and a price. Training is short, and the ranker is shipped whatever it
is worth: what is measured is time, not taste.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slatewise.training.ranker_training import RankerFit
from slatewise.wiring.home import Home
from training import TOPICS, blocks

ACTIONS = ("view", "click", "cart", "buy")
SHARES = (0.5, 0.35, 0.1, 0.05)
BRANDS, COLOURS = 2_000, 12
EVENTS_PER_USER = 50
HISTORY = 50
SETTINGS = {
    "training.deep": "on",
    # Lists are another way to the same candidates: without them the cascade is the one that others build, towers,
    # an index and a ranker, and the two can be compared.
    "training.lists": "off",
    "training.history_length": HISTORY,
    "training.minutes": 1.5,
    "training.ranker_minutes": 1.5,
    "training.ranker_lists": 1200,
    "training.ranker_epochs": 3,
    "training.threads": 1,
    # Whatever the size: what is measured on a small HOME is the form of a large one.
    "index.kind": "ivf",
    "index.recall": 0.96,
}


class Told:
    """Prints steps as they end, and a line in between now and then."""

    def __init__(self):
        self._start = self._told = time.monotonic()

    def step(self, name, done, total, note=""):
        now = time.monotonic()
        if done >= total or now - self._told > 15:
            self._told = now
            print(
                f"{now - self._start:6.0f} s  {name} {done / max(total, 1e-9):4.0%} {note}", file=sys.stderr, flush=True
            )


def write_data(folder, items, users, interactions):
    """Write items and interactions as Parquet files."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    item_ids = pa.array([f"i{n}" for n in range(items)])
    columns = {
        "item_id": item_ids,
        "categories": [f"topic-{n % TOPICS}" for n in range(items)],
        "brand": [f"brand-{n}" for n in rng.integers(0, BRANDS, items).tolist()],
        "colour": [f"colour-{n}" for n in rng.integers(0, COLOURS, items).tolist()],
        "price": np.exp(rng.normal(3, 1, items)).round(2),
    }
    pq.write_table(pa.table(columns), folder / "items.parquet")
    schema = pa.schema(
        {"user_id": pa.string(), "item_id": pa.string(), "action": pa.string(), "timestamp": pa.float64()}.items()
    )
    names = pa.array(ACTIONS)
    with pq.ParquetWriter(folder / "interactions.parquet", schema) as writer:
        for part in blocks(users, items, interactions, rng):
            action = names.take(pa.array(rng.choice(len(ACTIONS), len(part), p=SHARES)))
            known = [[f"u{n}" for n in part.user.tolist()], item_ids.take(pa.array(part.item)), action, part.at]
            writer.write_table(pa.table(known, schema=schema))


def built(folder, items):
    """Return the HOME in *folder*, made now where it is not there yet, and what is known of it."""
    folder, told = Path(folder), Told()
    home, mark = folder / "home", folder / "built.json"
    if mark.exists():
        facts = json.loads(mark.read_text())
        if facts["items"] != items:
            raise SystemExit(f"{folder} holds {facts['items']:,} items, not {items:,}: name another folder")
        return home, facts
    users = max(2_000, items // 50)
    if not (folder / "imported").exists():
        source = folder / "source"
        write_data(source, items, users, users * EVENTS_PER_USER)
        with Home(home, settings=SETTINGS) as opened:
            report = opened.import_data(source, progress=told)
        (folder / "imported").write_text(f"{report.interactions} interactions, {report.items} items\n")
    start = time.monotonic()
    # Minutes of training on a million items do not always beat retrieval; the cost of ranking is the same.
    RankerFit.earns_its_place = property(lambda fit: True)
    with Home(home, settings=SETTINGS) as opened:
        facts = opened.train(progress=told).facts
    if not facts.get("ranker", {}).get("shipped"):
        raise SystemExit(f"no ranker was trained, so there is nothing to measure: {facts}")
    facts = {"items": items, "users": users, "train_s": round(time.monotonic() - start), "facts": facts}
    mark.write_text(json.dumps(facts, default=str))
    return home, facts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--items", type=int, default=1_000_000)
    given = parser.parse_args()
    print(json.dumps(built(given.folder, given.items)[1]))


if __name__ == "__main__":
    main()

"""Makes a HOME of 1,000,000 items with a live bundle, for other benchmarks, and says how long that takes.

    python benchmarks/large_home.py --home H [--items 1000000 --users 300000 --interactions 3000000] [--set NAME=VALUE]
    python benchmarks/loop.py --home H [--set index.kind=hnsw]

The histories are those of `training.py`; every item has a category and a price. Prints one JSON line last.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slatewise.cli.options import open_home
from training import TOPICS, blocks


def write_data(folder, items, users, interactions):
    rng = np.random.default_rng(0)
    item_ids = pa.array([f"i{n}" for n in range(items)])
    price = np.exp(rng.normal(3, 1, items)).round(2)
    topic = [f"topic-{n % TOPICS}" for n in range(items)]
    pq.write_table(pa.table({"item_id": item_ids, "categories": topic, "price": price}), folder / "items.parquet")
    columns = {"user_id": pa.string(), "item_id": pa.string(), "timestamp": pa.float64()}
    with pq.ParquetWriter(folder / "interactions.parquet", pa.schema(columns.items())) as writer:
        for part in blocks(users, items, interactions, rng):
            known = [f"u{n}" for n in part.user], item_ids.take(pa.array(part.item)), part.at
            writer.write_table(pa.table(dict(zip(columns, known, strict=True)), schema=pa.schema(columns.items())))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=300_000)
    parser.add_argument("--interactions", type=int, default=3_000_000)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    took = {}
    with open_home(given.home, given.set) as home:
        with tempfile.TemporaryDirectory() as scratch:
            write_data(Path(scratch), given.items, given.users, given.interactions)
            start = time.perf_counter()
            report = home.import_data(scratch)
            took["import_s"] = round(time.perf_counter() - start, 1)
        print(f"{report.interactions:,} interactions, {report.items:,} items", took, file=sys.stderr)
        start = time.perf_counter()
        facts = home.train().facts
        took["train_s"] = round(time.perf_counter() - start, 1)
    with open_home(given.home, given.set) as home:
        start = time.perf_counter()
        home.recommend("u1")
        took["first_answer_s"] = round(time.perf_counter() - start, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**took, "peak_mb": round(peak), "facts": facts}))


if __name__ == "__main__":
    main()

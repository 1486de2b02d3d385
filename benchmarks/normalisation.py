"""Promise: item vectors are of a kind that the index likes, and what that costs is known.

    python benchmarks/normalisation.py --home HOME [--queries 500] [--json]

Takes the live bundle's spectral factors as they are (their norm carries popularity) and at unit length, builds the
graph index and the exact one over each, and searches with vectors of real users. Prints recall@100 against the truth
and microseconds per search; the accuracy of both is in the bundle's card (`vectors`), measured on its validation. The
last line is one JSON object.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from slatewise.domain.settings import IndexSettings
from slatewise.index.build import build_index, measure_recall
from slatewise.models.spectral_towers import SpectralUserTower
from slatewise.ports.models import Bag, Sequence
from slatewise.training.material import Histories
from slatewise.wiring.bundle_files import open_factors, open_schema
from slatewise.wiring.home import Home

K = 100


def user_vectors(home: Home, factors, count: int) -> np.ndarray:
    histories = Histories.of(home._log.interactions(0, home.version))
    sample = np.random.default_rng(0).choice(len(histories), min(count, len(histories)), replace=False)
    tower = SpectralUserTower(factors.input.shape[1])
    found = []
    for i in sample.tolist():
        item = factors.input[histories.history(i).row[-200:]][None]
        steps, ones = np.zeros(item.shape[:2], np.int64), np.ones(item.shape[:2], np.float32)
        blank = Bag(np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32))
        found.append(tower.encode(Sequence(item=item, action=steps, gap=steps, age=ones, mask=ones), blank)[0])
    return np.stack(found)


def measured(kind: str, vectors: np.ndarray, queries: np.ndarray) -> dict[str, float]:
    rows = np.arange(len(vectors))
    start = time.perf_counter()
    index = build_index(rows, vectors, IndexSettings(kind=kind))
    built = time.perf_counter() - start
    took = []
    for query in queries:
        start = time.perf_counter()
        index.search(query, K)
        took.append(time.perf_counter() - start)
    recall = measure_recall(index, rows, vectors, queries, K)
    return {
        "recall@100": round(recall, 4),
        "us_p50": round(1e6 * float(np.median(took)), 1),
        "build_s": round(built, 2),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--json", action="store_true", help="print the JSON line only")
    given = parser.parse_args()
    with Home(given.home) as home:
        folder = home.registry.path(home.live_bundle or "")
        factors = open_factors(folder, open_schema(folder))
        queries = user_vectors(home, factors, given.queries)
        card = json.loads((folder / "metrics.json").read_bytes()).get("vectors", {})
    norm = np.linalg.norm(factors.output, axis=1, keepdims=True)
    shapes = {"raw": factors.output, "unit": factors.output / np.where(norm > 0, norm, 1.0)}
    result: dict = {"items": len(norm), "dim": factors.output.shape[1], "validation": card}
    for name, vectors in shapes.items():
        result[name] = {kind: measured(kind, vectors.astype(np.float32), queries) for kind in ("exact", "hnsw")}
        if not given.json:
            print(name, result[name])
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""The ranker's cost per request: 100 candidates, 50 steps of history, one thread; 32-bit, 8-bit and the small variant.

Weights are random, as time does not depend on them; what 8 bits cost in quality stands in every bundle's card.

    python benchmarks/ranker.py

The last line is JSON: CPU milliseconds, medians, turn by turn.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from slatewise.features.attributes import fit_schema
from slatewise.features.content import ContentLayout
from slatewise.features.frame import names_for
from slatewise.models.sessions import OnnxSession
from slatewise.training.export import export_ranker
from slatewise.training.files import RANKER, RANKER_HISTORY, RANKER_INT8, RANKER_SMALL
from slatewise.training.quantise import quantise
from slatewise.training.ranker_module import RankerModule, SmallRanker

ACTIONS = ("view", "click", "cart", "buy")
ITEMS = [
    {"brand": "a", "categories": ("b", "c"), "colours": ("d",), "price": n, "title": f"{n} two"} for n in (1.0, 2.0)
]
"""What a shop says about its items: columns of five attributes."""
DIM, TOKENS = 64, 100
EMBEDDINGS = ("actions", "gaps", "recency", "tokens")


def samples(features: int, candidates: int, count: int = 32) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    return [
        {
            "item": normal(1, RANKER_HISTORY, DIM),
            "action": rng.integers(0, len(ACTIONS), (1, RANKER_HISTORY)),
            "gap": rng.integers(0, 20, (1, RANKER_HISTORY)),
            "mask": np.ones((1, RANKER_HISTORY), np.float32),
            "user": normal(1, DIM),
            "user_token": rng.integers(0, TOKENS, (1, 4)),
            "user_weight": normal(1, 4),
            "candidate": normal(candidates, DIM),
            "feature": normal(candidates, features),
        }
        for _ in range(count)
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=600)
    given = parser.parse_args()
    torch.manual_seed(0)
    features = len(names_for(ACTIONS, ContentLayout.of(fit_schema(ITEMS)).names))
    full = RankerModule(DIM, features, len(ACTIONS), TOKENS, len(ACTIONS), 0.1, RANKER_HISTORY)
    small = SmallRanker(features, len(ACTIONS), 0.1)
    frame = np.random.default_rng(1).standard_normal((2000, features)).astype(np.float32)
    for module in (full, small):
        module.numbers.fit(frame, np.arange(2000) % 50 == 0)
    inputs = samples(features, given.candidates)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        export_ranker(full, DIM, features, folder / RANKER)
        export_ranker(small, DIM, features, folder / RANKER_SMALL)
        quantise(folder / RANKER, folder / RANKER_INT8, inputs)
        names = {"float": RANKER, "int8": RANKER_INT8, "small": RANKER_SMALL}
        sessions = {name: OnnxSession(folder / file) for name, file in names.items()}
    spent = {name: [] for name in sessions}
    for turn in range(given.rounds):
        for name, session in sessions.items():
            start = time.thread_time()
            session.run(**inputs[turn % len(inputs)])
            spent[name].append(1000 * (time.thread_time() - start))
    dense = sum(p.numel() for name, p in full.named_parameters() if not name.startswith(EMBEDDINGS))
    told = {f"{name}_ms": round(float(np.median(times)), 3) for name, times in spent.items()}
    print(json.dumps(told | {"dense_parameters": dense, "candidates": given.candidates, "features": features}))


if __name__ == "__main__":
    main()

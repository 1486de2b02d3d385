"""Items nobody has touched yet: can their attributes place them? Part of `accuracy.py cold`.

A tenth of the items loses all its interactions and keeps its attributes. Each user with an interaction on such an item
asks for the last of them, with what came before it and is known as history. Ranked are all items, and the withheld ones
alone: the second says whether the right new item is found, the first whether it stands up to known ones.
"""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from slatewise.domain.history import History
from slatewise.features.attributes import AttributeEncoder, describe, fit_schema
from slatewise.wiring.home import Home

SHARE = 0.1
K = 100
RECENT = 10


def measure_cold(task, seeds: int, overrides: dict, progress) -> dict:
    """Return Recall@100 of model, content-kNN and chance, over all items and over the withheld ones, mean of seeds."""
    runs = [one_seed(task, seed, overrides, progress) for seed in range(seeds)]
    for run in runs:
        print(json.dumps(run), flush=True)
    return {name: mean_of([run[name] for run in runs]) for name in ("model", "baselines")} | {
        "withheld_items": runs[0]["withheld_items"],
        "cases": runs[0]["cases"],
        "seeds": len(runs),
    }


def mean_of(values: list):
    if isinstance(values[0], dict):
        return {name: mean_of([value[name] for value in values]) for name in values[0]}
    return round(float(np.mean(values)), 4)


def one_seed(task, seed: int, overrides: dict, progress) -> dict:
    rng = np.random.default_rng(seed)
    items = sorted(item.item_id for item in task.train.items)
    withheld = set(rng.choice(items, int(len(items) * SHARE), replace=False).tolist())
    train = replace(task.train, interactions=[e for e in task.train.interactions if e.item_id not in withheld])
    cases = [case for past in histories_of(task.train).values() if (case := asked(past, withheld)) is not None]
    settings = {"training.ranker": "off", "telemetry.impressions": "off", "training.seed": seed, **overrides}
    with tempfile.TemporaryDirectory() as scratch, Home(Path(scratch) / "home", settings=settings) as home:
        home.import_data(train, progress=progress)
        home.train(progress=progress)
        live = home._engine.current().live  # its towers and vectors, without the rest of the line
        n_items = len(home.catalogue)
        rows = [home.catalogue.rows(history) for history, _ in cases]
        target = np.array([home.catalogue.rows([item])[0] for _, item in cases])
        new = np.zeros(n_items, bool)
        new[home.catalogue.rows(sorted(withheld))] = True
        vectors = live.vectors(np.arange(n_items))
        user = np.concatenate([live.encode_user(steps(past), {}, {}) for past in rows])
        described = [describe(home.catalogue.item(row)) for row in range(n_items)]
        content = content_vectors(described)
    model = user @ vectors.T
    liked = np.stack([content[past[-RECENT:]].sum(0) for past in rows])
    knn = liked @ content.T
    return {
        "model": recalls(model, rows, target, new),
        "baselines": {
            "content_knn": recalls(knn, rows, target, new),
            "random": {"all": K / n_items, "withheld": min(1.0, K / max(1, int(new.sum())))},
        },
        "withheld_items": int(new.sum()),
        "cases": len(cases),
    }


def histories_of(dataset) -> dict:
    past: dict = {}
    for event in dataset.interactions:
        past.setdefault(event.user_id, []).append(event.item_id)
    return past


def asked(past: list[str], withheld: set[str]):
    """Return (known history before it, the last withheld item), None for users without one or without a history."""
    places = [i for i, item in enumerate(past) if item in withheld]
    if not places:
        return None
    before = [item for item in past[: places[-1]] if item not in withheld]
    return (before, past[places[-1]]) if before else None


def steps(rows: np.ndarray) -> History:
    return History(rows, np.zeros(rows.size, np.int64), np.arange(rows.size, dtype=np.float64))


def content_vectors(described: list) -> np.ndarray:
    """Return unit TF-IDF vectors of the attribute tokens, ``(n_items, tokens)``."""
    schema = fit_schema(described)
    bag = AttributeEncoder(schema).encode(described)
    counts = np.zeros((len(described), schema.tokens), np.float32)
    np.add.at(counts, (np.arange(len(described))[:, None], bag.token), np.abs(bag.weight))
    counts[:, 0] = 0.0
    counts *= np.log(len(described) / (1.0 + (counts > 0).sum(0)))
    norm = np.linalg.norm(counts, axis=1, keepdims=True)
    return counts / np.where(norm > 0, norm, 1.0)


def recalls(score: np.ndarray, seen: list, target: np.ndarray, new: np.ndarray) -> dict[str, float]:
    score = score.astype(np.float64)
    right = score[np.arange(target.size), target].copy()
    for i, rows in enumerate(seen):
        score[i, rows] = -np.inf
    better = score >= right[:, None]
    return {
        "all": float((better.sum(1) - 1 < K).mean()),
        "withheld": float((better[:, new].sum(1) - 1 < K).mean()),
    }

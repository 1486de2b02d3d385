"""Vectors as recommenders make them: clusters of uneven size, a decaying spectrum, lengths that differ; and users.

Items lie around 5,000 tastes within 200 families. Users are mixtures of one to three tastes plus their own noise: not
distributed like items, which is what an index has to cope with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

TRUTH_K = 100
TASTES, FAMILIES = 5_000, 200
PART = 100_000


@dataclass(frozen=True)
class Data:
    """Items ``(n, d)``, further items to write, queries ``(q, d)`` for tuning and for judging, and the truth."""

    items: np.ndarray
    extra: np.ndarray
    tuning: np.ndarray
    queries: np.ndarray
    truth: np.ndarray

    def save(self, folder: Path) -> None:
        for name in ("items", "extra", "tuning", "queries", "truth"):
            np.save(folder / f"{name}.npy", getattr(self, name))

    @staticmethod
    def load(folder: Path) -> Data:
        names = ("items", "extra", "tuning", "queries", "truth")
        return Data(*(np.load(folder / f"{name}.npy") for name in names))


def generated(size: int, dim: int, queries: int, unit: bool, seed: int = 7) -> Data:
    """Return data of *size* items; *unit*: of length 1, else log-normal lengths."""
    rng = np.random.default_rng(seed)
    spectrum = ((1 + np.arange(dim)) ** -0.35).astype(np.float32)
    family = rng.standard_normal((FAMILIES, dim), np.float32)
    taste = 0.8 * family[rng.integers(0, FAMILIES, TASTES)] + 0.7 * rng.standard_normal((TASTES, dim), np.float32)
    share = (1 + np.arange(TASTES)) ** -0.6
    share /= share.sum()
    extra = max(1000, size // 50)
    items = np.empty((size + extra, dim), np.float32)
    for start in range(0, len(items), PART):
        part = items[start : start + PART]
        of = rng.choice(TASTES, len(part), p=share)
        part[:] = (taste[of] + 0.7 * rng.standard_normal(part.shape, np.float32)) * spectrum
        part /= np.linalg.norm(part, axis=1, keepdims=True)
        if not unit:
            part *= rng.lognormal(0, 0.25, (len(part), 1)).astype(np.float32)
    users = np.zeros((queries + 256, dim), np.float32)
    for user in users:
        interests = rng.choice(TASTES, rng.integers(1, 4), p=share)
        user += rng.dirichlet(np.full(interests.size, 2.0)).astype(np.float32) @ taste[interests]
    users = (users + 0.45 * rng.standard_normal(users.shape, np.float32)) * spectrum
    users /= np.linalg.norm(users, axis=1, keepdims=True)
    return with_truth(items[:size], items[size:], users[:256], users[256:])


def of_bundle(folder: Path, queries: int) -> Data:
    """Return the item vectors of a trained bundle, asked for what its users ask, where its index holds some of them."""
    items = np.load(folder / "item_vectors.npy")
    asked = folder / "index" / "queries.npy"
    if asked.exists():
        users = np.load(asked)
    else:
        print("the bundle's index holds no users' vectors: items plus noise stand in for them")
        rng = np.random.default_rng(0)
        users = items[rng.integers(0, len(items), 512)]
        users = users + 0.5 * users.std() * rng.standard_normal(users.shape, np.float32)
    half = len(users) // 2
    return with_truth(items, items[: len(items) // 50], users[:half], users[half : half + queries])


def with_truth(items: np.ndarray, extra: np.ndarray, tuning: np.ndarray, queries: np.ndarray) -> Data:
    return Data(items, extra, tuning, queries, truth_of(items, queries))


def truth_of(items: np.ndarray, queries: np.ndarray, allow: np.ndarray | None = None) -> np.ndarray:
    """Return the rows of the 100 largest products per query, ``(q, 100)``; -1 where fewer are allowed."""
    found = np.full((len(queries), TRUTH_K), -1)
    for start in range(0, len(queries), 50):
        score = queries[start : start + 50] @ items.T
        if allow is not None:
            score[:, ~allow] = -np.inf
        best = np.argpartition(-score, TRUTH_K - 1, axis=1)[:, :TRUTH_K]
        best[np.take_along_axis(score, best, 1) == -np.inf] = -1
        found[start : start + len(score)] = best
    return found


def recall_of(found: np.ndarray, right: np.ndarray) -> float:
    """Return the share of the rows in *right* (without -1) that are among *found*."""
    right = right[right >= 0]
    return float(np.isin(right, found).mean()) if right.size else 1.0

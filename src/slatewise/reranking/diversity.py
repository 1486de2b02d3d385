"""Maximal marginal relevance over item vectors. Pure; knows nothing of rows, rules or slates."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Positions, Vectors


def diversified(score: npt.NDArray[np.floating[Any]], vectors: Vectors, size: int, weight: float) -> Positions:
    """Return up to *size* positions, each the best trade of score against likeness to those before it.

    *score* is finite, best first, shape ``(n,)``; *vectors* are ``(n, d)``, zeros where unknown. Scores are scaled to
    [0, 1] over the list, so *weight* means the same for every model: 0 keeps the order, 1 looks at distance alone.
    Ties go to the better place. Takes memory ``(n, n)``: hand in a window, not a catalogue. Carbonell & Goldstein,
    SIGIR 1998.
    """
    n = score.size
    size = min(size, n)
    if weight <= 0 or n < 2:
        return np.arange(size)
    unit = np.nan_to_num(vectors, posinf=0.0, neginf=0.0)
    likeness = weight * (unit @ unit.T).astype(np.float64)
    relevance = _unit_scale(score) * (1.0 - weight)
    nearest = np.full(n, -np.inf)
    worth = relevance.copy()
    chosen = np.empty(size, np.int64)
    for place in range(size):
        best = int(worth.argmax())
        chosen[place] = best
        relevance[best] = -np.inf
        np.maximum(nearest, likeness[best], out=nearest)
        np.subtract(relevance, nearest, out=worth)
    return chosen


def _unit_scale(score: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    wide = score.astype(np.float64)
    low, high = wide.min(), wide.max()
    return (wide - low) / (high - low) if high > low else np.zeros(score.size)

"""Maximal marginal relevance over item vectors. Pure; knows nothing of rows, rules or slates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Positions, Scores, Vectors


def diversified(score: Scores, vectors: Vectors, size: int, weight: float) -> Positions:
    """Return up to *size* positions, each the best trade of score against likeness to those before it.

    *score* is finite, best first, shape ``(n,)``; *vectors* are ``(n, d)``, zeros where unknown. Scores are scaled to
    [0, 1] over the list, so *weight* means the same for every model: 0 keeps the order, 1 looks at distance alone.
    Ties go to the better place. Carbonell & Goldstein, SIGIR 1998.
    """
    n = score.size
    size = min(size, n)
    if weight <= 0 or n < 2:
        return np.arange(size)
    relevance = _unit_scale(score) * (1.0 - weight)
    unit = np.nan_to_num(vectors, posinf=0.0, neginf=0.0)
    likeness = np.full(n, -np.inf)
    taken = np.zeros(n, np.bool_)
    chosen = np.empty(size, np.int64)
    worth = relevance
    for place in range(size):
        best = int(np.argmax(np.where(taken, -np.inf, worth)))
        chosen[place] = best
        taken[best] = True
        np.maximum(likeness, unit @ unit[best], out=likeness)
        worth = relevance - weight * likeness
    return chosen


def _unit_scale(score: Scores) -> npt.NDArray[np.float64]:
    wide = score.astype(np.float64)
    low, high = wide.min(), wide.max()
    return (wide - low) / (high - low) if high > low else np.zeros(score.size)

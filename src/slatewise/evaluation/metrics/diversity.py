"""Diversity: how far apart the items of one list are."""

from __future__ import annotations

import numpy as np

from slatewise.domain.ids import Vectors
from slatewise.evaluation.lists import Lists, PerQuery

CHUNK = 4096


def diversity(lists: Lists, vectors: Vectors, k: int) -> PerQuery:
    """Return the mean pairwise ``1 - cosine`` within each query's first *k* items; shape ``(queries,)``.

    *vectors* is ``(n_items, d)``, of any length. Items without a vector (beyond the matrix, zero, or not finite) are
    left out; NaN where fewer than two remain. Ziegler et al., "Improving recommendation lists through topic
    diversification", WWW 2005.
    """
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    has_vector = (np.isfinite(norm) & (norm > 0)).ravel()
    unit = np.zeros((len(vectors) + 1, vectors.shape[1]), np.float32)
    np.divide(vectors, norm, out=unit[:-1], where=has_vector[:, None])
    has_vector = np.append(has_vector, False)
    result = np.full(len(lists), np.nan)
    for start in range(0, len(lists), CHUNK):
        shown = lists[start : start + CHUNK, :k]
        place = np.where((shown >= 0) & (shown < len(vectors)), shown, len(vectors))
        n = has_vector[place].sum(1)
        # The sum of all cosines is the squared length of the summed unit vectors; n of them are an item with itself.
        cosines = (unit[place].sum(1, dtype=np.float64) ** 2).sum(1) - n
        pairs = n * (n - 1)
        mean = np.divide(cosines, pairs, out=np.full(len(n), np.nan), where=pairs > 0)
        result[start : start + CHUNK] = 1.0 - mean
    return result

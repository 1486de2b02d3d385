"""Normalised discounted cumulative gain: found, and found early."""

from __future__ import annotations

import numpy as np

from slatewise.evaluation.lists import Counts, Hits, PerQuery, share


def ndcg(hits: Hits, targets: Counts, k: int) -> PerQuery:
    """Return binary NDCG of each query's first *k* places; shape ``(queries,)``.

    The gain of a hit at 0-based position p is ``1 / log2(p + 2)``; the ideal list holds ``min(targets, k)`` hits at
    the top, so targets outside the catalogue stay in the denominator. A query without targets has 0.
    Jaervelin and Kekaelaeinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002.
    """
    discount = 1.0 / np.log2(np.arange(k) + 2.0)
    within = hits[:, :k]
    ideal = np.append(0.0, np.cumsum(discount))[np.minimum(targets, k)]
    return share(within @ discount[: within.shape[1]], ideal)

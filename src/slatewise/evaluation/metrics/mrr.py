"""Mean reciprocal rank: how early the first wanted item stands."""

from __future__ import annotations

import numpy as np

from slatewise.evaluation.lists import Counts, Hits, PerQuery


def mrr(hits: Hits, targets: Counts, k: int) -> PerQuery:
    """Return 1 / (1 + position of the first hit within the first *k* places), 0 without one; shape ``(queries,)``."""
    within = hits[:, :k] & (targets > 0)[:, None]
    if not within.shape[1]:
        return np.zeros(len(within))
    return np.where(within.any(1), 1.0 / (1.0 + within.argmax(1)), 0.0)

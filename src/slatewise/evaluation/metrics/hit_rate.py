"""Hit rate: whether anything wanted was found."""

from __future__ import annotations

import numpy as np

from slatewise.evaluation.lists import Counts, Hits, PerQuery


def hit_rate(hits: Hits, targets: Counts, k: int) -> PerQuery:
    """Return 1 for each query with a target within its first *k* places, else 0; shape ``(queries,)``."""
    return (hits[:, :k].any(1) & (targets > 0)).astype(np.float64)

"""Coverage: how much of the catalogue anybody is shown."""

from __future__ import annotations

import numpy as np

from slatewise.evaluation.lists import Lists


def coverage(lists: Lists, catalogue: int, k: int) -> float:
    """Return the share of *catalogue* items in anybody's first *k* places; 0 for an empty catalogue."""
    shown = np.unique(lists[:, :k])
    return float(np.count_nonzero((shown >= 0) & (shown < catalogue)) / catalogue) if catalogue else 0.0

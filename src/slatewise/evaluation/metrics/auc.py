"""Area under the ROC curve: how often what happened is scored above what did not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata


def auc(score: npt.NDArray[np.floating], label: npt.NDArray[np.generic]) -> float:
    """Return the share of pairs of a 1 and a 0 that are in order, ties counting half; NaN without both labels.

    *score* (finite) and *label* (0 or 1) have shape ``(n,)``. Mann-Whitney's U over the number of pairs (Hanley and
    McNeil, Radiology 1982).
    """
    happened = label.astype(bool)
    ones = int(happened.sum())
    pairs = ones * (happened.size - ones)
    if not pairs:
        return float("nan")
    return float((rankdata(score)[happened].sum() - ones * (ones + 1) / 2) / pairs)

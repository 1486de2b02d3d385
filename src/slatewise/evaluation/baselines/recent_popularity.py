"""Recent popularity: the most used items of the newest part of training."""

from __future__ import annotations

import numpy as np

from slatewise.domain.columns import Interactions
from slatewise.evaluation.baselines.popularity import Popularity

SHARE = 0.1
DAY_S = 86_400.0


def fit_recent_popularity(
    training: Interactions, n_items: int, share: float = SHARE, days: float | None = None
) -> Popularity:
    """Count the newest training interactions of each item: the newest *share* of them, or those of the last *days*.

    Newest by time, then log offset; interactions of unknown time count as the oldest. *days* reach back from the newest
    known time; without any known time *share* decides.
    """
    newest = np.fmax.reduce(training.at, initial=-np.inf)
    if days is not None and np.isfinite(newest):
        recent = np.flatnonzero(training.at > newest - days * DAY_S)
    else:
        at = np.where(np.isfinite(training.at), training.at, -np.inf)
        kept = int(np.ceil(len(training) * share))
        recent = np.lexsort((training.offset, at))[len(training) - kept :]
    count = np.bincount(training.item[recent], minlength=n_items)
    return Popularity(count.astype(np.float32), "recent_popularity")

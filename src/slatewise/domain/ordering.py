"""The one owner of numeric policy: how scores with NaN, infinities and ties are put in order."""

import numpy as np

from slatewise.domain.ids import Positions, Scores


def best_first(score: Scores) -> Positions:
    """Return all positions ordered by score, best first; shape ``(n,)``.

    Whatever is not finite goes last, infinities too: a broken score may not win a place. Ties keep their order.
    """
    finite = np.isfinite(score)
    sortable = -score if finite.all() else np.where(finite, -score, np.inf)
    return sortable.argsort(kind="stable")


def top(score: Scores, k: int) -> Positions:
    """Return the best *k* positions, best first, by the policy of `best_first`; fewer if there are fewer."""
    if k <= 0:
        return np.empty(0, np.int64)
    if k >= score.size:
        return best_first(score)
    sortable = np.where(np.isfinite(score), -score, np.inf)
    # argpartition alone would break ties at the border by chance, so widen to the border's value first.
    border = np.partition(sortable, k - 1)[k - 1]
    within = np.flatnonzero(sortable <= border)
    return within[np.argsort(sortable[within], kind="stable")][:k]

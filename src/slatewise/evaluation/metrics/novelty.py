"""Novelty: how little the shown items are known already."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slatewise.evaluation.lists import Lists, PerQuery


def novelty(lists: Lists, popularity: npt.NDArray[np.float64], k: int) -> PerQuery:
    """Return the mean self-information, in bits, of each query's first *k* items; shape ``(queries,)``.

    *popularity* holds training interactions per row, ``(n_items,)``; rows beyond it have none. Self-information is
    ``-log2 p``, with ``p = (count + 1) / (total + n_items)``: add-one smoothing keeps a never seen item finite. NaN for
    an empty list. Vargas and Castells, "Rank and relevance in novelty and diversity metrics", RecSys 2011.
    """
    shown = lists[:, :k]
    n_items = max(popularity.size, int(shown.max(initial=-1)) + 1)
    count = np.zeros(n_items + 1)
    count[: popularity.size] = popularity
    bits = -np.log2((count + 1.0) / (count.sum() + max(n_items, 1)))
    listed = shown >= 0
    length = listed.sum(1)
    # Padding indexes the spare last place, which the mask then leaves out.
    total = np.where(listed, bits[shown], 0.0).sum(1)
    result: PerQuery = np.divide(total, length, out=np.full(len(shown), np.nan), where=length > 0)
    return result

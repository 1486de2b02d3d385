"""Distinct categories: how many kinds of item one list holds."""

from __future__ import annotations

import numpy as np

from slatewise.domain.ids import NO_ROW, Rows
from slatewise.evaluation.lists import Lists, PerQuery


def distinct_categories(lists: Lists, codes: Rows, k: int) -> PerQuery:
    """Return how many distinct categories each query's first *k* items have; shape ``(queries,)``.

    *codes* holds one category code per row, -1 where missing; items without one are not counted.
    """
    shown = lists[:, :k]
    if not codes.size or not shown.shape[1]:
        return np.zeros(len(shown))
    known = (shown >= 0) & (shown < codes.size)
    code = np.sort(np.where(known, codes[np.where(known, shown, 0)], NO_ROW), axis=1)
    first = np.ones_like(known)
    first[:, 1:] = code[:, 1:] != code[:, :-1]
    distinct: PerQuery = (first & (code >= 0)).sum(1).astype(np.float64)
    return distinct

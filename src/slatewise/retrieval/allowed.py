"""Which rows of an offer the query allows. Knows nothing of why."""

from __future__ import annotations

import numpy as np

from slatewise.domain.ids import Mask, Positions, Rows, Scores
from slatewise.domain.membership import marked

OVERFETCH = 4
"""How many times its limit a source looks at where the query allows only part of the catalogue."""


def reach(limit: int, allow: Mask | None) -> int:
    """Return how many rows to look at so that about *limit* allowed ones remain."""
    return limit if allow is None else limit * OVERFETCH


def allowed(rows: Rows, allow: Mask | None) -> Mask:
    """Mark the rows that *allow* holds True for; shape ``(n,)``. None allows all; rows outside of it are refused."""
    return np.ones(rows.size, np.bool_) if allow is None else marked(rows, allow)


def allowed_first(rows: Rows, scores: Scores, allow: Mask | None, limit: int) -> tuple[Rows, Scores]:
    """Return the first *limit* allowed rows with their scores, in the order held before."""
    if allow is None:
        return rows[:limit], scores[:limit]
    at: Positions = np.flatnonzero(allowed(rows, allow))[:limit]
    return rows[at], scores[at]

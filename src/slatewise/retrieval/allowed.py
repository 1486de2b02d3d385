"""Which rows of an offer the query allows. Knows nothing of why."""

from __future__ import annotations

import numpy as np

from slatewise.domain.ids import Mask, Positions, Rows, Scores

OVERFETCH = 4
"""How many times its limit a source looks at where the query allows only part of the catalogue."""


def reach(limit: int, allow: Mask | None) -> int:
    """Return how many rows to look at so that about *limit* allowed ones remain."""
    return limit if allow is None else limit * OVERFETCH


def allowed(rows: Rows, allow: Mask | None) -> Mask:
    """Mark the rows that *allow* holds True for; shape ``(n,)``. None allows all; rows outside of it are refused."""
    if allow is None:
        return np.ones(rows.size, np.bool_)
    if not allow.size:
        return np.zeros(rows.size, np.bool_)
    return np.take(allow, rows, mode="clip") & (rows >= 0) & (rows < allow.size)


def allowed_first(rows: Rows, scores: Scores, allow: Mask | None, limit: int) -> tuple[Rows, Scores]:
    """Return the first *limit* allowed rows with their scores, in the order held before."""
    if allow is None:
        return rows[:limit], scores[:limit]
    at: Positions = np.flatnonzero(allowed(rows, allow))[:limit]
    return rows[at], scores[at]

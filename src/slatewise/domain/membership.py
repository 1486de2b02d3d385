"""Which rows a mask or a sorted list holds: lookups that sources and filters share."""

from __future__ import annotations

import numpy as np

from slatewise.domain.ids import Mask, Rows


def marked(rows: Rows, mask: Mask) -> Mask:
    """Return the mask's verdict per row; False for rows outside of it."""
    if not mask.size or not rows.size:
        return np.zeros(rows.size, np.bool_)
    # Negative rows are huge as unsigned numbers: one look finds whatever lies outside.
    if rows.view(np.uint64).max() < mask.size:
        return mask.take(rows)
    return np.take(mask, rows, mode="clip") & (rows >= 0) & (rows < mask.size)


def among(rows: Rows, sorted_rows: Rows) -> Mask:
    """Mark the rows that *sorted_rows* (ascending) holds; shape ``(n,)``."""
    if not sorted_rows.size:
        return np.zeros(rows.size, np.bool_)
    found: Mask = sorted_rows.take(sorted_rows.searchsorted(rows), mode="clip") == rows
    return found

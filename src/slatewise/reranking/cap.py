"""Category cap: no more than so many items of one value in a slate. Pure; knows nothing of what the codes mean."""

from __future__ import annotations

import numpy as np

from slatewise.domain.ids import Mask, Positions, Rows

NO_CODE = -1
"""Code of an item without a value; such items are never capped."""


def capped(codes: Rows, size: int, cap: int, placed: Rows | None = None) -> Positions:
    """Return up to *size* positions of *codes* (best first), taking at most *cap* of one code.

    *placed* are codes that hold a place already and count. Where too few remain, the cap gives way: the best of those
    left out follow at the end, for a full slate is worth more than a varied one.
    """
    if cap <= 0:
        return np.arange(min(size, codes.size))
    within = occurrence(codes, placed) < cap
    within |= codes == NO_CODE
    chosen = np.flatnonzero(within)[:size]
    missing = min(size, codes.size) - chosen.size
    return np.concatenate([chosen, np.flatnonzero(~within)[:missing]]) if missing else chosen


def fits(codes: Rows, cap: int, placed: Rows) -> Mask:
    """Mark the codes of which one more beside *placed* keeps within *cap*; shape ``(n,)``."""
    if cap <= 0:
        return np.ones(codes.size, np.bool_)
    fitting: Mask = ((codes[:, None] == placed[None, :]).sum(1) < cap) | (codes == NO_CODE)
    return fitting


def occurrence(codes: Rows, placed: Rows | None = None) -> Rows:
    """Return per place how often its code came before, *placed* included; shape ``(n,)``."""
    before = np.empty(0, np.int64) if placed is None else placed
    joined = np.concatenate([before, codes])
    order = np.argsort(joined, kind="stable")
    ordered = joined[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if ordered.size else np.empty(0, np.int64)
    length = np.diff(np.append(starts, ordered.size))
    count = np.empty(joined.size, np.int64)
    count[order] = np.arange(joined.size) - np.repeat(starts, length)
    return count[before.size :]

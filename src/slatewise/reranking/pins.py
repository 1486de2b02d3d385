"""Items at fixed places. Pure; knows nothing of how the other places are filled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from slatewise.domain.ids import Positions, Rows


def pinned(rows: Rows, pins: Sequence[tuple[int, int]], size: int) -> dict[int, int]:
    """Return place -> position in *rows*, for each ``(row, place)`` of *pins* that can be honoured.

    A pin counts if its row is among *rows* and its place is within *size*. Of two pins for one place, or two places for
    one row, the first declared counts.
    """
    places: dict[int, int] = {}
    for row, place in pins:
        if not 0 <= place < size or place in places:
            continue
        at = np.flatnonzero(rows == row)
        if at.size and int(at[0]) not in places.values():
            places[place] = int(at[0])
    return places


def with_pins(order: Positions, reasons: Sequence[str], places: Mapping[int, int]) -> tuple[list[int], list[str]]:
    """Return *order* with the pinned positions at their places and the rest around them in order.

    Where the slate is too short to reach a pinned place, that item goes to the end.
    """
    chosen, why = order.tolist(), list(reasons)
    for place in sorted(places):
        chosen.insert(place, places[place])
        why.insert(place, "pinned")
    return chosen, why

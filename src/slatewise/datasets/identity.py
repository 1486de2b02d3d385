"""The event ids of imported interactions: the same row gets the same id whenever and wherever it is read."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa

PREFIX = "imp:"
DIGEST_BYTES = 16


def event_ids(
    users: Sequence[str],
    items: Sequence[str],
    actions: Sequence[str],
    at: npt.NDArray[np.float64],
    value: npt.NDArray[np.float64],
) -> list[str]:
    """Return one id per interaction, from what it says; ``at`` is NaN where unknown.

    Interactions that say the same are numbered in the order given, so each keeps an id of its own, and the same file
    read twice, in any order, gives the same set of ids.
    """
    nth = occurrence([_codes(users), _codes(items), _codes(actions), np.nan_to_num(at, nan=-1.0), value])
    return [
        PREFIX
        + blake2b(
            f"{user}\x1f{item}\x1f{action}\x1f{instant!r}\x1f{amount!r}\x1f{n}".encode(), digest_size=DIGEST_BYTES
        ).hexdigest()
        for user, item, action, instant, amount, n in zip(
            users, items, actions, at.tolist(), value.tolist(), nth.tolist(), strict=True
        )
    ]


def occurrence(columns: Sequence[npt.NDArray[np.generic]]) -> npt.NDArray[np.int64]:
    """Return how many earlier rows are equal in every column, per row."""
    size = columns[0].size
    if not size:
        return np.empty(0, np.int64)
    order = np.lexsort(list(columns))
    differs = np.zeros(size - 1, bool)
    for column in columns:
        ordered = column[order]
        differs |= ordered[1:] != ordered[:-1]
    place = np.arange(size)
    first = np.maximum.accumulate(np.where(np.append(True, differs), place, 0))
    nth = np.empty(size, np.int64)
    nth[order] = place - first
    return nth


def _codes(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    codes: npt.NDArray[np.int64] = pa.array(texts, pa.string()).dictionary_encode().indices.to_numpy().astype(np.int64)
    return codes

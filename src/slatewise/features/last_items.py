"""What each of the users that were active last did last. Folded in log order, in bounded memory; knows no count."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Rows
from slatewise.features.counting import counting

SLOTS = 1 << 19
"""Users remembered at most, 48 bytes each: all of them up to so many. Past that, whoever was away the longest (of those
that share a place) starts afresh.
"""
WAYS = 8
"""Slots that a user may lie in. Rows are dense, so users spread evenly, and few users touch little memory."""


class LastItems:
    """The newest *width* items per user, of *slots* users. One writer, and no readers but it."""

    def __init__(self, width: int, slots: int = SLOTS) -> None:
        self._users: npt.NDArray[np.int64] = np.zeros(slots, np.int64)  # rows from 1 on; 0: nobody
        self._used_at: npt.NDArray[np.int64] = np.zeros(slots, np.int64)
        self._items: npt.NDArray[np.int32] = np.zeros((slots, width), np.int32)  # newest first, rows from 1 on; 0: none
        self._folded = 0

    def follow(self, user: Rows, item: Rows) -> npt.NDArray[np.int32]:
        """Return what came before each interaction, ``(n, width)``, newest first, -1 for nothing; and remember it.

        *user* and *item* have shape ``(n,)``, in log order; any batches give the same. Raises ValueError for an item's
        row beyond 2^31.
        """
        before = np.zeros((user.size, self._items.shape[1]), np.int32)
        if user.size:
            if int(item.max()) >= np.iinfo(np.int32).max:
                raise ValueError("rows of items: expected below 2^31")
            counting.follow(
                np.ascontiguousarray(user),
                np.ascontiguousarray(item),
                self._users,
                self._used_at,
                self._items,
                WAYS,
                self._folded,
                before,
            )
            self._folded += user.size
        return before - np.int32(1)

    def columns(self) -> dict[str, Any]:
        """Return all that is remembered as arrays by name, for `restored`."""
        slots = np.flatnonzero(self._users)
        return {
            "last_slot": slots,
            "last_user": self._users[slots],
            "last_used": self._used_at[slots],
            "last_items": self._items[slots],
            "last_folded": np.array(self._folded),
        }

    @classmethod
    def restored(cls, width: int, columns: Any) -> LastItems:
        """Return what `columns` gave; of a release before it, from its array of every user's newest items, newest last.

        Raises ValueError or KeyError where it makes no sense.
        """
        loaded = cls(width)
        if "last_slot" not in columns:
            every = columns["recent"]
            known, place = np.nonzero(every >= 0)
            loaded.follow(known, every[known, place])
            return loaded
        slots = columns["last_slot"]
        if slots.size and not 0 <= int(slots.min()) <= int(slots.max()) < SLOTS:
            raise ValueError(f"users' last items: a slot outside of {SLOTS}")
        loaded._users[slots], loaded._used_at[slots] = columns["last_user"], columns["last_used"]
        loaded._items[slots] = columns["last_items"]
        loaded._folded = int(columns["last_folded"])
        return loaded

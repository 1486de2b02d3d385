"""How much one user may add to the counts of one item: an abuse cap. Folded in log order; knows no count.

A user counts for an item a few times at once and then once more per period (a leaky bucket per user and item, kept as
the instant at which it will be empty). What exceeds that moves no shared count; the user's own history is not its
business. Instants are only compared and added to, so that both implementations agree to the last bit.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Mask, Rows
from slatewise.domain.settings import AbuseSettings
from slatewise.features.counting import counting

SLOTS = 1 << 19
"""Pairs of user and item remembered at most, 16 bytes each. Where a place is short of room, the pair goes that would be
forgotten first: who repeats the most stays.
"""
WAYS = 8
"""Slots that a pair may lie in."""
DAY_S = 86_400.0
GRACE_S = 1.0
"""Sums of instants are rounded; nobody repeats on purpose with this precision."""
MOST_ROWS = 1 << 32

_SHIFT = np.uint64(64 - (SLOTS // WAYS).bit_length() + 1)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class Shares:
    """Says which interactions still count. One writer. *repeats* is at least 1, *period_s* above 0 and finite.

    Times are those that the events carry, but none counts as older than the cap reaches back from the newest seen:
    a past made up of small steps frees nothing. An unknown time is that of the newest.
    """

    def __init__(self, repeats: int, period_s: float) -> None:
        self.repeats = repeats
        self.period_s = period_s
        self.newest = -np.inf
        # Filled, not `zeros`: pages that come into being one by one, as pairs fall on them, look like a leak.
        self._pairs: npt.NDArray[np.uint64] = np.full(SLOTS, 0, np.uint64)
        self._empty_at: npt.NDArray[np.float64] = np.full(SLOTS, -np.inf)

    @classmethod
    def of(cls, settings: AbuseSettings) -> Shares | None:
        """Return what the settings ask for, None where they lift the cap."""
        return cls(settings.repeats, settings.repeat_days * DAY_S) if settings.repeats else None

    def admit(self, user: Rows, item: Rows, at: npt.NDArray[np.float64]) -> Mask:
        """Return which interactions count, shape ``(n,)`` each, in log order. Raises ValueError for rows beyond 2^32.

        Admitting in one batch or one by one gives the same, bit for bit.
        """
        admitted = np.zeros(user.size, np.uint8)
        if not user.size:
            return admitted.astype(bool)
        if max(int(user.max()), int(item.max())) + 1 >= MOST_ROWS:
            raise ValueError("rows: expected below 2^32")
        pairs = (user.astype(np.uint64) << np.uint64(32)) + item.astype(np.uint64) + np.uint64(1)  # 0: an empty slot
        counting.admit(
            pairs,
            _first_slots(pairs),
            self._instants(at),
            self._pairs,
            self._empty_at,
            WAYS,
            self.period_s,
            (self.repeats - 1) * self.period_s + GRACE_S,
            admitted,
        )
        return admitted.astype(bool)

    def _instants(self, at: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        known = np.isfinite(at)
        newest = np.maximum.accumulate(np.maximum(np.where(known, at, -np.inf), self.newest))
        self.newest = float(newest[-1])
        instants = np.where(known, np.maximum(at, newest - self.repeats * self.period_s), newest)
        instants[~np.isfinite(instants)] = 0.0  # no time is known so far
        return instants

    def save(self, folder: Path) -> None:
        """Write what is remembered into *folder*, which exists."""
        slots = np.flatnonzero(self._pairs)
        np.savez(
            folder / "shares.npz",
            slots=slots,
            pairs=self._pairs[slots],
            empty_at=self._empty_at[slots],
            cap=np.array([self.repeats, self.period_s, self.newest]),
        )

    @classmethod
    def load(cls, folder: Path) -> Shares | None:
        """Return what `save` wrote, None where it wrote nothing: a bundle without a cap, or from before there was one.

        Raises ValueError where it makes no sense.
        """
        if not (folder / "shares.npz").exists():
            return None
        with np.load(folder / "shares.npz", allow_pickle=False) as file:
            repeats, period_s, newest = file["cap"].tolist()
            if not (repeats >= 1 and 0 < period_s < math.inf):
                raise ValueError(f"shares.npz: a cap of {repeats} in {period_s} s")
            loaded = cls(int(repeats), period_s)
            loaded.newest = newest
            slots = file["slots"]
            if slots.size and not 0 <= int(slots.min()) <= int(slots.max()) < SLOTS:
                raise ValueError(f"shares.npz: a slot outside of {SLOTS}")
            loaded._pairs[slots], loaded._empty_at[slots] = file["pairs"], file["empty_at"]
        return loaded


def _first_slots(pairs: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Return the first of each pair's slots: its place follows from the pair alone (the finaliser of splitmix64)."""
    mixed = (pairs ^ (pairs >> np.uint64(30))) * _MIX[0]
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX[1]
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> _SHIFT).astype(np.int64) * WAYS

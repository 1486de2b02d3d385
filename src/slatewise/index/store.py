"""The vectors themselves, for one writer and any number of readers who never wait. Knows nothing of graphs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Mask, Positions, Rows, Scores, Vectors
from slatewise.domain.ordering import top

NEVER = np.iinfo(np.int64).max
GATHER_BELOW = 0.45
"""Share of slots under which copying them out beats scoring them all (measured: 18 against 8 ns a slot, 64 wide)."""


@dataclass(frozen=True, slots=True)
class View:
    """What can be found at one moment. Immutable in effect: what is written later, no view of before can see.

    All columns are by slot; only the first ``length`` count. A slot is written once, before a view shows it, and never
    again, except for its ``death``; that stamp is later than every view in which the slot is alive.
    """

    vectors: Vectors
    row: Rows
    birth: npt.NDArray[np.int64]
    """Increases from slot to slot, and stays with a vector for life while its slot may move."""
    death: npt.NDArray[np.int64]
    length: int
    at: int
    """The writer's count of changes when this view was published."""
    live: int

    def alive(self, slots: Positions | slice) -> Mask:
        """Return per slot whether its vector is current in this view."""
        alive: Mask = self.death[slots] > self.at
        return alive

    def permitted(self, slots: Positions | slice, allow: Mask | None) -> Mask:
        """Return per slot whether it is alive and its row allowed; rows beyond the mask are not."""
        ok = self.alive(slots)
        if allow is None:
            return ok
        row = self.row[slots]
        inside = row < allow.size
        if inside.all():
            return ok & allow[row]
        ok &= inside
        ok[ok] = allow[row[ok]]
        return ok

    def since(self, at: int) -> slice:
        """Return the slots written after the change *at*."""
        return slice(int(np.searchsorted(self.birth[: self.length], at, side="right")), self.length)

    def born(self, births: npt.NDArray[np.int64]) -> Positions:
        """Return the slots of ascending births, ascending; those that are gone for good are left out."""
        known = self.birth[: self.length]
        if not known.size:
            return np.empty(0, np.int64)
        slot = np.minimum(np.searchsorted(known, births), known.size - 1)
        found: Positions = slot[known[slot] == births]
        return found

    def live_columns(self) -> tuple[Rows, Vectors, npt.NDArray[np.int64]]:
        """Return copies of rows, vectors and births of the live slots, in slot order."""
        alive = np.flatnonzero(self.alive(slice(self.length)))
        return self.row[alive], np.take(self.vectors, alive, axis=0), self.birth[alive]

    def rank(self, slots: Positions, query: Vectors, k: int) -> tuple[Rows, Scores]:
        """Return the best *k* of these slots as rows and inner products, best first.

        Each product is computed on its own (`np.vecdot`), so it does not depend on which others are asked for, and
        equal vectors get equal scores. It also runs in the caller's thread: with a threaded BLAS, one product of this
        size waits milliseconds for a second core that is busy.
        """
        # Products that overflow are not finite and so come last; that needs no warning per query.
        with np.errstate(over="ignore", invalid="ignore"):
            if slots.size > GATHER_BELOW * self.length:
                score = np.vecdot(self.vectors[: self.length], query)[slots]
            else:
                score = np.vecdot(np.take(self.vectors, slots, axis=0), query)
        best = top(score, k)
        return self.row[slots[best]], score[best]

    def scan(self, query: Vectors, k: int, allow: Mask | None) -> tuple[Rows, Scores]:
        """Return the best *k* of all allowed rows: exact, and linear in them."""
        return self.rank(np.flatnonzero(self.permitted(slice(self.length), allow)), query, k)


class VectorStore:
    """Holds one vector per row; writes publish a new `View`, whole or not at all.

    Replacing appends the new vector and stamps the old one as dead, so a reader's view stays as it was. Dead slots are
    swept out when the arrays are full. Calls that write must not overlap; `view` may be read at any time.
    """

    def __init__(self, dim: int) -> None:
        self._slot_of = np.empty(0, np.int64)
        self.view = View(
            vectors=np.empty((0, dim), np.float32),
            row=np.empty(0, np.int64),
            birth=np.empty(0, np.int64),
            death=np.empty(0, np.int64),
            length=0,
            at=0,
            live=0,
        )

    @classmethod
    def restored(cls, rows: Rows, vectors: Vectors, birth: npt.NDArray[np.int64], at: int) -> VectorStore:
        """Return a store of these live slots, as `live_columns` gave them."""
        store = cls(vectors.shape[1])
        store.view = View(vectors, rows, birth, np.full(rows.size, NEVER), rows.size, at, rows.size)
        store._map_rows(rows, np.arange(rows.size))
        return store

    def upsert(self, rows: Rows, vectors: Vectors) -> None:
        """Add or replace distinct rows; all of them show in the next view at once."""
        if not rows.size:
            return
        self._make_room(rows.size)
        view = self.view
        new = slice(view.length, view.length + rows.size)
        at = view.at + rows.size
        view.vectors[new], view.row[new], view.death[new] = vectors, rows, NEVER
        view.birth[new] = np.arange(view.at + 1, at + 1)
        replaced = self._slots(rows)
        view.death[replaced] = at
        self._map_rows(rows, np.arange(new.start, new.stop))
        self._publish(new.stop, at, view.live + rows.size - replaced.size)

    def remove(self, rows: Rows) -> None:
        """Forget rows; unknown ones are ignored."""
        gone = np.unique(self._slots(rows))
        if not gone.size:
            return
        view = self.view
        at = view.at + gone.size
        view.death[gone] = at
        self._slot_of[view.row[gone]] = -1
        self._publish(view.length, at, view.live - gone.size)

    def _publish(self, length: int, at: int, live: int) -> None:
        view = self.view
        self.view = View(view.vectors, view.row, view.birth, view.death, length, at, live)

    def _slots(self, rows: Rows) -> Positions:
        known = rows[(rows >= 0) & (rows < self._slot_of.size)]
        slots = self._slot_of[known]
        return slots[slots >= 0]

    def _map_rows(self, rows: Rows, slots: Positions) -> None:
        needed = int(rows.max(initial=-1)) + 1
        if needed > self._slot_of.size:
            grown = np.full(max(needed, 2 * self._slot_of.size), -1)
            grown[: self._slot_of.size] = self._slot_of
            self._slot_of = grown
        self._slot_of[rows] = slots

    def _make_room(self, wanted: int) -> None:
        """Move the live slots to larger arrays where *wanted* more do not fit; old views keep the old arrays."""
        view = self.view
        if view.length + wanted <= view.row.size:
            return
        rows, vectors, birth = view.live_columns()
        kept = rows.size
        # In proportion to what is copied, so that each change pays for a constant share of it.
        capacity = kept + max(wanted, kept // 2, 64)
        room = View(
            vectors=np.empty((capacity, vectors.shape[1]), np.float32),
            row=np.empty(capacity, np.int64),
            birth=np.empty(capacity, np.int64),
            death=np.full(capacity, NEVER),
            length=kept,
            at=view.at,
            live=kept,
        )
        room.vectors[:kept], room.row[:kept], room.birth[:kept] = vectors, rows, birth
        self._slot_of[rows] = np.arange(kept)
        self.view = room

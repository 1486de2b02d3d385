"""Which item follows which, within a user's history. Folded in log order, exact in any batching.

Two counts per ordered pair: ``near`` (directly after) and ``decayed`` (within the next eight, weighted 0.8^(lag-1),
in thousandths). Both are integers, so sums are equal bit for bit whether interactions arrive one by one or a million at
once. A compressed sparse matrix holds the bulk; a small dictionary holds what came since.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Rows
from slatewise.features.counting import counting
from slatewise.features.last_items import LastItems

WINDOW = 8
STEP_WEIGHTS = np.round(1000 * 0.8 ** np.arange(WINDOW)).astype(np.int64)
BULK = 512
AT_ONCE = 2_000_000
"""Interactions folded at once at most, so that pairs to be added take no more than half a gigabyte."""
MERGE_AFTER = 200_000
GATHERED = 4_000_000
"""Pairs kept apart at most where merging is put off: they take some hundred megabytes, and twice that to merge."""

_NONE: Rows = np.zeros(0, np.int64)

_Columns: TypeAlias = tuple[Rows, Rows, Rows, Rows]
"""Pairs: what came before, what after, and both counts."""


class _Fresh:
    """What followed one row since the last merge. The writer adds to ``pairs``; readers look at sorted columns.

    Columns are made by the first reader after a write and kept for the others. They carry the version read *before* the
    pairs were, so columns that a write overtook are never taken for current.
    """

    __slots__ = ("_columns", "pairs", "version")

    def __init__(self) -> None:
        self.pairs: dict[int, tuple[int, int]] = {}
        self.version = 0
        self._columns: tuple[int, Rows, Rows, Rows] = (0, _NONE, _NONE, _NONE)

    def add(self, item: int, near: int, decayed: int) -> None:
        held = self.pairs.get(item, (0, 0))
        self.pairs[item] = (held[0] + near, held[1] + decayed)
        self.version += 1

    def columns(self) -> tuple[Rows, Rows, Rows]:
        """Return ``(rows, near, decayed)``, rows ascending."""
        version = self.version
        if self._columns[0] != version:
            pairs = self.pairs.copy()
            rows = np.fromiter(pairs, np.int64, len(pairs))
            counts = np.fromiter(chain.from_iterable(pairs.values()), np.int64, 2 * len(pairs)).reshape(-1, 2)
            order = np.argsort(rows)
            self._columns = (version, rows[order], counts[order, 0], counts[order, 1])
        return self._columns[1:]


class _Counts(NamedTuple):
    """What readers see, swapped as one: rows ``start[r]:start[r + 1]`` of the columns, plus what came since."""

    start: npt.NDArray[np.int64]
    next: npt.NDArray[np.int64]
    near: npt.NDArray[np.int64]
    decayed: npt.NDArray[np.int64]
    delta: dict[int, _Fresh]

    def bulk(self, row: int) -> slice:
        return slice(self.start[row], self.start[row + 1]) if row + 1 < self.start.size else slice(0, 0)


class Transitions:
    """Pair counts. One writer; readers see a count before or after an update, never half of one."""

    def __init__(self) -> None:
        self._counts = _Counts(np.zeros(1, np.int64), _NONE, _NONE, _NONE, {})
        self._last = LastItems(WINDOW)
        self._delta_pairs = 0
        self._gathered: list[_Columns] | None = None

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Within, what is folded in bulk is merged now and then, and whole at the end: for who has no readers yet.

        A merge goes over all pairs there are. Once per chunk of a log, a million events beside ten million pairs took
        minutes.
        """
        self._gathered = []
        try:
            yield
        finally:
            self._merge_gathered()
            self._gathered = None

    def fold(self, user: Rows, item: Rows) -> None:
        """Absorb interactions in log order. *user* and *item* have shape ``(n,)``."""
        if user.size >= BULK:
            for lo in range(0, user.size, AT_ONCE):
                self._fold_bulk(user[lo : lo + AT_ONCE], item[lo : lo + AT_ONCE])
            return
        for befores, after in zip(self._last.follow(user, item).tolist(), item.tolist(), strict=True):
            self._fold_one(befores, after)
        if self._delta_pairs > MERGE_AFTER:
            self._merge(*self._delta_columns())

    def _fold_one(self, befores: list[int], item: int) -> None:
        for distance, before in enumerate(befores):
            if before < 0:
                break
            if before == item:
                continue
            fresh = self._counts.delta.get(before)
            if fresh is None:
                fresh = self._counts.delta[before] = _Fresh()
            self._delta_pairs += item not in fresh.pairs
            fresh.add(item, int(distance == 0), int(STEP_WEIGHTS[distance]))

    def _fold_bulk(self, user: Rows, item: Rows) -> None:
        befores = self._last.follow(user, item)
        place, distance = np.nonzero((befores >= 0) & (befores != item[:, None]))
        columns: _Columns = (
            befores[place, distance].astype(np.int64),
            item[place],
            (distance == 0).astype(np.int64),
            STEP_WEIGHTS[distance],
        )
        if self._gathered is None:
            self._merge(*_joined([columns, self._delta_columns()]))
            return
        self._gathered.append(columns)
        if sum(held[0].size for held in self._gathered) > GATHERED:
            self._merge_gathered()

    def _merge_gathered(self) -> None:
        if self._gathered:
            self._merge(*_joined([*self._gathered, self._delta_columns()]))
            self._gathered.clear()

    def _delta_columns(self) -> _Columns:
        parts = [(before, *fresh.columns()) for before, fresh in self._counts.delta.items()]
        if not parts:
            return _NONE, _NONE, _NONE, _NONE
        before = np.concatenate([np.full(after.size, row, np.int64) for row, after, _, _ in parts])
        after, near, decayed = (np.concatenate([part[i] for part in parts]) for i in (1, 2, 3))
        return before, after, near, decayed

    def _merge(self, before: Rows, after: Rows, near: Rows, decayed: Rows) -> None:
        held = self._counts
        lengths = np.diff(held.start)
        before = np.concatenate([np.repeat(np.arange(lengths.size), lengths), before])
        after = np.concatenate([held.next, after])
        items = int(max(before.max(initial=-1), after.max(initial=-1))) + 1
        key, place = np.unique(before * items + after, return_inverse=True)
        # Sums stay far below 2^53, so adding them as doubles is exact.
        near_sum = np.bincount(place, np.concatenate([held.near, near]), key.size).astype(np.int64)
        decayed_sum = np.bincount(place, np.concatenate([held.decayed, decayed]), key.size).astype(np.int64)
        start = np.searchsorted(key, np.arange(items + 1) * items)
        self._counts = _Counts(start, key % items if items else key, near_sum, decayed_sum, {})
        self._delta_pairs = 0

    def followers(self, row: int) -> tuple[Rows, Rows, Rows]:
        """Return ``(rows, near, decayed)`` of all that followed *row*; rows are distinct, in no promised order."""
        counts = self._counts
        part = counts.bulk(row)
        rows, near, decayed = counts.next[part], counts.near[part], counts.decayed[part]
        fresh = counts.delta.get(row)
        if fresh is None:
            return rows, near, decayed
        new_rows, new_near, new_decayed = fresh.columns()
        rows, place = np.unique(np.concatenate([rows, new_rows]), return_inverse=True)
        return (
            rows,
            np.bincount(place, np.concatenate([near, new_near])).astype(np.int64),
            np.bincount(place, np.concatenate([decayed, new_decayed])).astype(np.int64),
        )

    def between(self, row: int, candidates: Rows) -> tuple[Rows, Rows]:
        """Return ``(near, decayed)`` counts from *row* to each candidate; shape ``(n,)`` each, 0 where never seen."""
        near, decayed = self.between_all(np.array([row], np.int64), candidates)
        return near[0], decayed[0]

    def between_all(self, rows: Rows, candidates: Rows) -> tuple[Rows, Rows]:
        """Return what `between` does for each of *rows*, shape ``(len(rows), n)`` each."""
        counts = self._counts
        found = np.empty((2, rows.size, candidates.size), np.int64)
        counting.between(counts.start, counts.next, counts.near, counts.decayed, rows, candidates, found)
        near: Rows = found[0]
        decayed: Rows = found[1]
        if counts.delta:
            for place, row in enumerate(rows.tolist()):
                fresh = counts.delta.get(row)
                if fresh is not None:
                    _add_found(candidates, *fresh.columns(), near[place], decayed[place])
        return near, decayed

    def save(self, folder: Path) -> None:
        """Write the counts into *folder*, which exists."""
        self._merge(*self._delta_columns())
        counts = self._counts
        np.savez(
            folder / "transitions.npz",
            start=counts.start,
            next=counts.next,
            near=counts.near,
            decayed=counts.decayed,
            **self._last.columns(),
        )

    @classmethod
    def load(cls, folder: Path) -> Transitions:
        """Return the counts that `save` wrote."""
        loaded = cls()
        with np.load(folder / "transitions.npz", allow_pickle=False) as file:
            loaded._counts = _Counts(file["start"], file["next"], file["near"], file["decayed"], {})
            loaded._last = LastItems.restored(WINDOW, file)
        return loaded


def _joined(parts: Sequence[_Columns]) -> _Columns:
    before, after, near, decayed = (np.concatenate(column) for column in zip(*parts, strict=True))
    return before, after, near, decayed


def _add_found(wanted: Rows, rows: Rows, near: Rows, decayed: Rows, near_sum: Rows, decayed_sum: Rows) -> None:
    """Add the counts of the wanted rows that the ascending *rows* hold."""
    if rows.size:
        at = rows.searchsorted(wanted)
        at[at == rows.size] = 0
        held = (rows[at] == wanted).nonzero()[0]
        if held.size:
            found = at[held]
            near_sum[held] += near[found]
            decayed_sum[held] += decayed[found]

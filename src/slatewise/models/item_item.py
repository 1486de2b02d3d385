"""Sparse relations between items: what a history says directly, where vectors of affordable width would blur it.

A bundle holds one such relation, its neighbour lists; `retrieval` adds its scores to the vectors' dot products.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slatewise.domain.ids import Rows, Scores

BAG = 1.0
"""The decay that reads a history as a set of items."""
NOWHERE = -1


@dataclass(frozen=True, slots=True)
class ItemItem:
    """Each item's strongest neighbours: item i relates to ``other[start[i]:start[i + 1]]`` by ``value``.

    ``start`` int64 ``(n_items + 1,)``, ``other`` int32 and ``value`` float32 ``(entries,)``. A history scores an item
    by the sum of the relations from its newest ``last`` steps, each step back weighing ``decay`` times less; with a
    decay of 1 the history is a set and each distinct item counts once.
    """

    start: npt.NDArray[np.int64]
    other: npt.NDArray[np.int32]
    value: npt.NDArray[np.float32]
    decay: float
    last: int
    _spare: deque[npt.NDArray[np.int32]] = field(default_factory=deque, repr=False, compare=False)
    """Arrays to look rows up in, as many as ever were in use at once: to make one costs more than to use it."""

    @property
    def n_items(self) -> int:
        return self.start.size - 1

    def around(self, history: Rows) -> tuple[Rows, Scores]:
        """Return ``(rows, scores)`` of all that a history (oldest first) relates to; rows ascending and distinct.

        Rows beyond the relation are ignored.
        """
        other, value = self._entries(history)
        if not other.size:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        with self._places() as place:
            # Of entries with one item the last to write stays: one of each, found without sorting them all.
            number = np.arange(other.size, dtype=np.int32)
            place[other] = number
            rows = np.sort(other[place[other] == number])
            place[rows] = number[: rows.size]
            score = np.bincount(place[other], value, rows.size)
            place[rows] = NOWHERE
        return rows.astype(np.int64), score.astype(np.float32)

    def at(self, history: Rows, rows: Rows) -> Scores:
        """Return the scores of these rows after a history, 0 where nothing relates; shape ``(n,)``."""
        other, value = self._entries(history)
        score = np.zeros(rows.size, np.float32)
        known = np.flatnonzero((rows >= 0) & (rows < self.n_items))
        if not other.size or not known.size:
            return score
        wanted = rows[known]
        with self._places() as place:
            place[wanted] = np.arange(wanted.size, dtype=np.int32)
            at = place[other]
            held = at >= 0
            sums = np.bincount(at[held], value[held], wanted.size)
            score[known] = sums[place[wanted]]
            place[wanted] = NOWHERE
        return score

    def _entries(self, history: Rows) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return what each step of a history relates to, one step after the other, and how strongly."""
        step, weight = self._steps(history)
        length = self.start[step + 1] - self.start[step]
        before = np.repeat(np.cumsum(length) - length - self.start[step], length)
        entry = np.arange(before.size) - before
        return self.other[entry], self.value[entry] * np.repeat(weight, length)

    @contextmanager
    def _places(self) -> Iterator[npt.NDArray[np.int32]]:
        """Lend an array by row that says `NOWHERE` throughout, and is given back that way."""
        try:
            place = self._spare.pop()
        except IndexError:
            place = np.full(self.n_items, NOWHERE, np.int32)
        yield place
        # Not after an error: whatever was written there is gone with it.
        self._spare.append(place)

    def scores(self, histories: Sequence[Rows]) -> npt.NDArray[np.float32]:
        """Return the scores of every item after each history; shape ``(b, n_items)``."""
        steps = [self._steps(history) for history in histories]
        query = np.repeat(np.arange(len(steps)), [step.size for step, _ in steps])
        item = np.concatenate([step for step, _ in steps]) if steps else np.empty(0, np.int64)
        weight = np.concatenate([weight for _, weight in steps]) if steps else np.empty(0, np.float32)
        bags = sp.csr_matrix((weight, (query, item)), shape=(len(steps), self.n_items))
        dense: npt.NDArray[np.float32] = (bags @ self.matrix()).toarray().astype(np.float32, copy=False)
        return dense

    def matrix(self) -> Any:
        """Return the relation as CSR, ``(n_items, n_items)``."""
        return sp.csr_matrix((self.value, self.other, self.start), shape=(self.n_items, self.n_items))

    def _steps(self, history: Rows) -> tuple[Rows, npt.NDArray[np.float32]]:
        known = history[(history >= 0) & (history < self.n_items)]
        if self.decay == BAG:
            distinct = np.unique(known[-self.last :])
            return distinct, np.ones(distinct.size, np.float32)
        newest = known[::-1][: self.last]
        return newest, (self.decay ** np.arange(newest.size)).astype(np.float32)


def no_lists(n_items: int) -> ItemItem:
    """Return the relation in which nothing relates."""
    return ItemItem(np.zeros(n_items + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32), BAG, 1)


def strongest(matrix: Any, neighbours: int, decay: float, last: int, first: int = 0) -> ItemItem:
    """Keep the *neighbours* largest positive entries of each row of a CSR matrix, but none of an item to itself.

    Row 0 of the matrix is item *first*.
    """
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    value = np.where(matrix.indices == row + first, 0.0, matrix.data).astype(np.float32)
    order = np.lexsort((-value, row))
    kept = order[(np.arange(order.size) - matrix.indptr[row[order]] < neighbours) & (value[order] > 0)]
    # Ascending columns within a row, as scipy and `around` like them.
    kept = kept[np.lexsort((matrix.indices[kept], row[kept]))]
    start = np.searchsorted(row[kept], np.arange(matrix.shape[0] + 1)).astype(np.int64)
    return ItemItem(start, matrix.indices[kept].astype(np.int32), value[kept], decay, last)

"""Ranked lists of many queries as one padded matrix. Does not know where the lists came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import NO_ROW, Mask, Rows

Lists: TypeAlias = npt.NDArray[np.int64]
"""Rows by query and position, shape ``(queries, k)``; ``NO_ROW`` pads lists shorter than k."""

Hits: TypeAlias = npt.NDArray[np.bool_]
"""Whether a list's item is a target of its query, shape ``(queries, k)``; False where the list has ended."""

Counts: TypeAlias = npt.NDArray[np.int64]
"""How many distinct targets each query has, shape ``(queries,)``."""

PerQuery: TypeAlias = npt.NDArray[np.float64]
"""One value of a metric per query, shape ``(queries,)``; NaN where the metric is undefined."""


def flat(ragged: Sequence[Rows]) -> tuple[Rows, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return ``(value, query, position)`` of every entry of ragged lists, as columns of one length."""
    length = np.fromiter((len(rows) for rows in ragged), np.int64, len(ragged))
    value = np.concatenate(ragged).astype(np.int64) if length.sum() else np.empty(0, np.int64)
    query = np.repeat(np.arange(length.size), length)
    position = np.arange(value.size) - np.repeat(np.cumsum(length) - length, length)
    return value, query, position


def padded(ragged: Sequence[Rows], k: int) -> Lists:
    """Return the first *k* rows of each list, padded with ``NO_ROW``; shape ``(len(ragged), k)``."""
    lists = np.full((len(ragged), k), NO_ROW, np.int64)
    value, query, position = flat([rows[:k] for rows in ragged])
    lists[query, position] = value
    return lists


def hits(lists: Lists, targets: Sequence[Rows]) -> tuple[Hits, Counts]:
    """Mark which listed rows are targets of their query, and count each query's distinct targets.

    *targets* has one array of rows per query; a row that no list can hold (outside the catalogue, ``NO_ROW``) is never
    hit and still counts. No row may appear twice in one list.
    """
    value, query, _ = flat(targets)
    distinct = np.unique(np.stack([query, value]), axis=1) if value.size else np.empty((2, 0), np.int64)
    counts = np.bincount(distinct[0], minlength=len(targets)).astype(np.int64)
    span = int(max(lists.max(initial=0), value.max(initial=0))) + 1
    reachable = distinct[:, distinct[1] >= 0]
    keys = np.arange(len(lists))[:, None] * span + lists
    return np.isin(keys, reachable[0] * span + reachable[1]) & (lists >= 0), counts


def found(ragged: Sequence[Rows], targets: Sequence[Rows]) -> Mask:
    """Return per target, all queries' targets in a row, whether its query's list holds it anywhere."""
    row, query, _ = flat(ragged)
    wanted, of, _ = flat(targets)
    span = int(max(row.max(initial=0), wanted.max(initial=0))) + 1
    return np.isin(of * span + wanted, query * span + row) & (wanted >= 0)


def share(numerator: PerQuery, targets: npt.NDArray[np.generic]) -> PerQuery:
    """Divide per query; 0 where a query has no target, as there is nothing to find."""
    result: PerQuery = np.divide(numerator, targets, out=np.zeros(len(targets)), where=np.asarray(targets) > 0)
    return result

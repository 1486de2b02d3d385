"""The newest items of the catalogue. Knows nothing of the user or of what others touch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slatewise.domain.candidate import Candidates
from slatewise.domain.ids import Rows
from slatewise.domain.query import Resolved
from slatewise.ports.stores import Catalogue
from slatewise.retrieval.allowed import allowed

POOL = 1024


@dataclass(frozen=True, slots=True)
class _Newest:
    """Rows of known age, newest first, as of one catalogue version; *whole* where nothing older was left out."""

    version: int
    row: Rows
    created_at: npt.NDArray[np.float64]
    whole: bool


class NewArrivalsSource:
    """Offers available items by age, youngest first, of those created up to the query's instant.

    Items of unknown age are never offered. The catalogue is sorted once per version, not per query, and only its newest
    part; a query about the past (a replay) sorts it whole. Thread-safe: lists are replaced, never changed.
    """

    name = "new_arrivals"

    def __init__(self, catalogue: Catalogue, limit: int) -> None:
        self._catalogue = catalogue
        self.limit = limit
        self._newest = _Newest(-1, np.empty(0, np.int64), np.empty(0, np.float64), True)

    def retrieve(self, query: Resolved, limit: int) -> Candidates:
        if limit <= 0:
            return Candidates.empty(self.name)
        # Read before the columns: a list may then be newer than its version says, but never older.
        version = self._catalogue.version
        held = self._newest
        if held.version != version:
            held = self._newest = _newest(version, self._catalogue.created_at, POOL)
        rows = self._existing(query, held, limit)
        if rows.size < limit and not held.whole:
            held = self._newest = _newest(version, self._catalogue.created_at, None)
            rows = self._existing(query, held, limit)
        created_at = self._catalogue.created_at[rows]
        age_days = (query.query.at - created_at) / 86_400.0
        return Candidates.of(self.name, rows, np.exp2(-np.maximum(age_days, 0.0) / 7.0).astype(np.float32))

    def _existing(self, query: Resolved, held: _Newest, limit: int) -> Rows:
        first = int(np.searchsorted(-held.created_at, -query.query.at, side="left"))
        rows = held.row[first:]
        keep = allowed(rows, self._catalogue.available)
        if query.allow is not None:
            keep &= allowed(rows, query.allow)
        found: Rows = rows[np.flatnonzero(keep)[:limit]]
        return found


def _newest(version: int, created_at: npt.NDArray[np.float64], pool: int | None) -> _Newest:
    rows = np.flatnonzero(np.isfinite(created_at))
    age = -created_at[rows]
    whole = pool is None or rows.size <= pool
    if pool is not None and not whole:
        young = np.argpartition(age, pool - 1)[:pool]
        rows, age = rows[young], age[young]
    # Of equal age the younger row goes first.
    order = np.lexsort((-rows, age))
    return _Newest(version, rows[order], -age[order], whole)

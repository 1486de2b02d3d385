"""Whatever may be shown, where better sources run dry. Knows nothing of the user but what is blocked."""

from __future__ import annotations

import numpy as np

from slatewise.domain.candidate import Candidates
from slatewise.domain.query import Resolved
from slatewise.ports.stores import Catalogue

FIRST_LOOK = 1024
"""Rows looked at first, beside those wanted."""


class AnyAvailableSource:
    """Offers available rows, youngest row first: the last resort that fills a slate while the catalogue can."""

    name = "any_available"

    def __init__(self, catalogue: Catalogue, limit: int = 0) -> None:
        self._catalogue = catalogue
        self.limit = limit

    def retrieve(self, query: Resolved, limit: int) -> Candidates:
        available, allow = self._catalogue.available, query.allow
        end = available.size if allow is None else min(available.size, allow.size)
        found, missing, width = [np.empty(0, np.int64)], max(limit, 0), FIRST_LOOK + 2 * max(limit, 0)
        while missing and end:
            # From the end in ever wider steps: the last resort must not cost a walk through a large catalogue.
            start = max(0, end - width)
            free = available[start:end].copy() if allow is None else available[start:end] & allow[start:end]
            first, behind = np.searchsorted(query.blocked, (start, end))
            free[query.blocked[first:behind] - start] = False
            rows = np.flatnonzero(free)[::-1][:missing] + start
            found.append(rows)
            missing, end, width = missing - rows.size, start, 4 * width
        rows = np.concatenate(found)
        return Candidates.of(self.name, rows, np.zeros(rows.size, np.float32))

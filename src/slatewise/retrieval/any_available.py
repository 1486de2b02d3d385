"""Whatever may be shown, where better sources run dry. Knows nothing of the user but what is blocked."""

from __future__ import annotations

import numpy as np

from slatewise.domain.candidate import Candidates
from slatewise.domain.query import Resolved
from slatewise.ports.stores import Catalogue


class AnyAvailableSource:
    """Offers available rows, youngest row first: the last resort that fills a slate while the catalogue can."""

    name = "any_available"

    def __init__(self, catalogue: Catalogue, limit: int = 0) -> None:
        self._catalogue = catalogue
        self.limit = limit

    def retrieve(self, query: Resolved, limit: int) -> Candidates:
        free = self._catalogue.available.copy()
        if query.allow is not None:
            size = min(free.size, query.allow.size)
            free = free[:size] & query.allow[:size]
        free[query.blocked[query.blocked < free.size]] = False
        rows = np.flatnonzero(free)[::-1][: max(limit, 0)].astype(np.int64)
        return Candidates.of(self.name, rows, np.zeros(rows.size, np.float32))

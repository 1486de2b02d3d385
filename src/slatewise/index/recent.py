"""Some of the queries asked of late: what searches are tuned to when the vectors have changed."""

from __future__ import annotations

import numpy as np

from slatewise.domain.ids import Vectors

KEPT = 256
EVERY = 16
"""One query in so many is kept, so that a burst of one user does not fill the memory."""


class RecentQueries:
    """Remembers up to `KEPT` queries, the oldest overwritten. Thread-safe: a query lost to a race costs nothing."""

    def __init__(self, dim: int) -> None:
        self._queries = np.zeros((KEPT, dim), np.float32)
        self._asked = 0
        self._held = 0

    @classmethod
    def of(cls, queries: Vectors) -> RecentQueries:
        """Start from these queries ``(q, d)``."""
        recent = cls(queries.shape[1])
        recent._held = min(KEPT, len(queries))
        recent._queries[: recent._held] = queries[: recent._held]
        recent._asked = recent._held * EVERY
        return recent

    def note(self, query: Vectors) -> None:
        """Remember this query, if it is its turn."""
        self._asked += 1
        if self._asked % EVERY == 0:
            at = self._asked // EVERY % KEPT
            self._queries[at] = query
            self._held = max(self._held, at + 1)

    def some(self) -> Vectors:
        """Return a copy of what is remembered, shape ``(q, d)``."""
        return self._queries[: self._held].copy()

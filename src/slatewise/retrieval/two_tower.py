"""Candidates whose vectors lie closest to the user's. Knows nothing of how vectors are made."""

from __future__ import annotations

from slatewise.domain.candidate import Candidates
from slatewise.domain.query import Resolved
from slatewise.ports.index import VectorIndex


class TwoTowerSource:
    """Searches the vector index with the query's user vector; offers nothing where there is none. Thread-safe."""

    name = "two_tower"

    def __init__(self, index: VectorIndex, limit: int) -> None:
        self._index = index
        self.limit = limit

    def retrieve(self, query: Resolved, limit: int) -> Candidates:
        if query.vector is None or limit <= 0:
            return Candidates.empty(self.name)
        rows, scores = self._index.search(query.vector[0], limit, query.allow)
        return Candidates.of(self.name, rows, scores)

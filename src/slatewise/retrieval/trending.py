"""Candidates many users touched lately: the same for everyone. Knows nothing of the user."""

from __future__ import annotations

from slatewise.domain.candidate import Candidates
from slatewise.domain.query import Resolved
from slatewise.ports.features import FeatureState
from slatewise.retrieval.allowed import allowed_first, reach


class TrendingSource:
    """Asks the folded counters what is popular now."""

    name = "trending"

    def __init__(self, state: FeatureState, limit: int) -> None:
        self._state = state
        self.limit = limit

    def retrieve(self, query: Resolved, limit: int) -> Candidates:
        if limit <= 0:
            return Candidates.empty(self.name)
        rows, scores = self._state.trending(query.query.at, reach(limit, query.allow))
        return Candidates.of(self.name, *allowed_first(rows, scores, query.allow, limit))

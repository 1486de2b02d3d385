"""Candidates that tend to follow what the user touched last. Knows nothing of vectors."""

from __future__ import annotations

from slatewise.domain.candidate import Candidates
from slatewise.domain.query import Resolved
from slatewise.ports.features import FeatureState
from slatewise.retrieval.allowed import allowed_first, reach

LAST = 10
"""Newest interactions that followers are looked up for."""


class ItemToItemSource:
    """Asks the folded transitions what follows the newest interactions; offers nothing without a history."""

    name = "item_to_item"

    def __init__(self, state: FeatureState, limit: int) -> None:
        self._state = state
        self.limit = limit

    def retrieve(self, query: Resolved, limit: int) -> Candidates:
        last = query.user.history.row[-LAST:]
        if not last.size or limit <= 0:
            return Candidates.empty(self.name)
        rows, scores = self._state.next_items(last, reach(limit, query.allow))
        return Candidates.of(self.name, *allowed_first(rows, scores, query.allow, limit))

"""The same most used items for everybody, as candidates: what retrieval is compared with. Knows no user."""

from __future__ import annotations

from slatewise.domain.candidate import Candidates
from slatewise.domain.ids import Scores
from slatewise.domain.ordering import best_first
from slatewise.domain.query import Resolved
from slatewise.retrieval.allowed import allowed_first


class PopularSource:
    """Offers rows by *count* (one per row, fixed), ties in order of row, as the baseline of that name lists them.

    Thread-safe. The read line asks for as many more as the user has already, so *limit* unseen items are left.
    """

    name = "popularity"

    def __init__(self, count: Scores, limit: int) -> None:
        self._order = best_first(count)
        self._count = count[self._order].astype("float32")
        self.limit = limit

    def retrieve(self, query: Resolved, limit: int) -> Candidates:
        rows, scores = allowed_first(self._order, self._count, query.allow, max(limit, 0))
        return Candidates.of(self.name, rows, scores)

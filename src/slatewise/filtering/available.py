"""Drops items that do not exist or are not available. Knows nothing of the user."""

from __future__ import annotations

from slatewise.domain.candidate import Candidates
from slatewise.domain.ids import Mask
from slatewise.domain.membership import marked
from slatewise.domain.query import Resolved
from slatewise.ports.stores import Catalogue


class AvailableFilter:
    """Asks the catalogue as it is now, not as it was when the query came or the candidate was cached."""

    name = "available"

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def keep(self, query: Resolved, candidates: Candidates) -> Mask:
        return marked(candidates.row, self._catalogue.available)

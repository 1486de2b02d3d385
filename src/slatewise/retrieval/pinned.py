"""The items that settings pin to a place, so that reranking finds them. Knows nothing of places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slatewise.domain.candidate import Candidates
from slatewise.domain.query import Resolved
from slatewise.domain.settings import PinSettings
from slatewise.ports.stores import Catalogue
from slatewise.retrieval.allowed import allowed_first


class PinnedSource:
    """Offers the pinned items that the query allows. Ask it first, so that no limit cuts them off."""

    name = "pinned"

    def __init__(self, catalogue: Catalogue, pins: Sequence[PinSettings]) -> None:
        self._catalogue = catalogue
        self._ids = tuple(pin.item_id for pin in pins)
        self.limit = len(self._ids)

    def retrieve(self, query: Resolved, limit: int) -> Candidates:
        rows = self._catalogue.rows(self._ids)
        rows = rows[rows >= 0]
        return Candidates.of(
            self.name, *allowed_first(rows, np.zeros(rows.size, np.float32), query.allow, max(limit, 0))
        )

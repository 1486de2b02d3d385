"""Items like a given one. Knows nothing of users."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from slatewise.domain.answer import AnswerItem
from slatewise.domain.candidate import Candidates
from slatewise.domain.errors import InputError, NotFound
from slatewise.domain.ids import Rows, Vectors
from slatewise.ports.features import FeatureState
from slatewise.ports.index import VectorIndex
from slatewise.ports.stores import Catalogue
from slatewise.retrieval.merge import merge


class SimilarItems:
    """Finds available items near an item's own vector; what tends to follow it fills the rest. Thread-safe.

    *vectors* maps rows to item vectors ``(n, d)``, zeros or NaN where there is none.
    """

    def __init__(
        self,
        *,
        index: VectorIndex,
        vectors: Callable[[Rows], Vectors],
        state: FeatureState,
        catalogue: Catalogue,
        max_size: int,
    ) -> None:
        self._index = index
        self._vectors = vectors
        self._state = state
        self._catalogue = catalogue
        self._max_size = max_size

    def similar(self, item_id: str, size: int) -> tuple[AnswerItem, ...]:
        """Return up to *size* items, the most similar first. Raises NotFound for an unknown item, InputError."""
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= self._max_size:
            raise InputError("size", size, f"a whole number from 1 to {self._max_size}")
        row = self._catalogue.row(item_id)
        if row < 0 or not self._catalogue.exists(row):
            raise NotFound(f"item {item_id!r} is not in the catalogue")
        found = self.candidates(row, size)
        columns = zip(self._catalogue.ids(found.row), found.score.tolist(), found.source.tolist(), strict=True)
        return tuple(
            AnswerItem(item_id=found_id, score=score, position=place, source=found.sources[source])
            for place, (found_id, score, source) in enumerate(columns)
        )

    def candidates(self, row: int, size: int) -> Candidates:
        """Return up to *size* available rows, never *row* itself, with the source that found each."""
        near = self._available(self._near(row, size + 1), row)
        if len(near) < size:
            follows = Candidates.of("item_to_item", *self._state.next_items(np.array([row]), 4 * size + 1))
            near = merge([near, self._available(follows, row)])
        return near.take(np.arange(min(size, len(near))))

    def _near(self, row: int, k: int) -> Candidates:
        vector = self._vectors(np.array([row], np.int64))[0]
        if not np.isfinite(vector).all() or not vector.any():
            return Candidates.empty("two_tower")
        available = self._catalogue.available
        return Candidates.of("two_tower", *self._index.search(vector, k, None if available.all() else available))

    def _available(self, found: Candidates, row: int) -> Candidates:
        available = self._catalogue.available
        known = (found.row >= 0) & (found.row < available.size)
        found = found.take(np.flatnonzero(known & (found.row != row)))
        return found.take(np.flatnonzero(available[found.row]))

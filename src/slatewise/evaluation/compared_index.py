"""Searches exactly in place of an index and notes how much the index would have found. Knows nothing of cases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slatewise.domain.ids import Mask, Rows, Scores, Vectors
from slatewise.ports.index import VectorIndex

TOLERANCE = 1e-5
"""Relative: inner products may differ in their last digits with the order of the sum."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One search: how many rows were asked for, how many an exhaustive search returned, how many the index found."""

    k: int
    exact: int
    found: int

    @property
    def share(self) -> float:
        """The index's fidelity; 1 where there was nothing to find."""
        return self.found / self.exact if self.exact else 1.0


class ComparedIndex:
    """A `VectorIndex` that answers by *exact* and asks *live* the same each time. Not thread-safe; not to be written.

    ``searches`` grows by one entry per search. A row of the live index counts as found where the exact answer holds it,
    or where it is as near as the last of that answer: which of several equals comes back is no matter of fidelity.
    """

    kind = "exact"
    is_exact = True

    def __init__(self, live: VectorIndex, exact: VectorIndex) -> None:
        self._live = live
        self._exact = exact
        self.searches: list[Compared] = []

    @property
    def dim(self) -> int:
        return self._exact.dim

    def __len__(self) -> int:
        return len(self._exact)

    def search(self, query: Vectors, k: int, allow: Mask | None = None) -> tuple[Rows, Scores]:
        rows, scores = self._exact.search(query, k, allow)
        near, nearness = self._live.search(query, k, allow)
        found = np.isin(near, rows)
        if scores.size:
            found |= np.isclose(nearness, scores[-1], rtol=TOLERANCE, atol=TOLERANCE)
        self.searches.append(Compared(k, rows.size, min(int(found.sum()), rows.size)))
        return rows, scores

    def upsert(self, rows: Rows, vectors: Vectors) -> None:
        raise NotImplementedError("compared indexes are read only")  # evaluation writes to none

    def remove(self, rows: Rows) -> None:
        raise NotImplementedError("compared indexes are read only")  # evaluation writes to none

    def save(self, folder: Path) -> None:
        raise NotImplementedError("compared indexes are read only")  # evaluation writes to none

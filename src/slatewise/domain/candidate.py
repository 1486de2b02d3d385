"""Candidates: items under consideration for one query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slatewise.domain.ids import Mask, Positions, Rows, Scores


@dataclass(frozen=True, slots=True)
class Candidates:
    """Items under consideration, as parallel columns. Immutable: stages return decisions.

    ``row`` and ``score`` have one length ``(n,)``, no row appears twice. ``source`` holds, per candidate, an
    index into ``sources``: which retrieval source offered it first.
    """

    row: Rows
    score: Scores
    source: Positions
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return int(self.row.size)

    def take(self, at: Positions) -> Candidates:
        """Return the candidates at these positions, in this order."""
        return Candidates(self.row.take(at), self.score.take(at), self.source.take(at), self.sources)

    def split(self, keep: Mask) -> tuple[Candidates, Candidates]:
        """Return (kept, dropped), each in the order held before."""
        return self.take(keep.nonzero()[0]), self.take((~keep).nonzero()[0])

    def scored(self, score: Scores) -> Candidates:
        """Return the same candidates with other scores."""
        return Candidates(self.row, score, self.source, self.sources)

    @staticmethod
    def of(source: str, row: Rows, score: Scores) -> Candidates:
        """Return candidates that all come from one source."""
        return Candidates(row, score, np.zeros(row.size, np.int64), (source,))

    @staticmethod
    def empty(source: str) -> Candidates:
        return Candidates.of(source, np.empty(0, np.int64), np.empty(0, np.float32))

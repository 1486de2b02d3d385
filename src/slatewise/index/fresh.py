"""What was written since the lists were made: a short segment that every search scans whole. Knows no lists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Positions, Rows, Vectors
from slatewise.index.segment import LANES, NEVER, Segment, padding

FEWEST, SHARE = 16_384, 8
"""Room: an eighth of the vectors in lists, at least this many. Pages that are not written cost no memory."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """Vectors in the order of their arrival, up to ``room`` of them.

    ``earlier`` says per position which one of its row it replaced (a position over both segments, -1 for none): where
    a reader's moment lies before a replacement, it finds the one before.
    """

    segment: Segment
    earlier: npt.NDArray[np.int64]

    @property
    def room(self) -> int:
        return self.segment.positions

    def append(self, length: int, rows: Rows, vectors: Vectors, earlier: Positions) -> None:
        """Write behind the first *length*; no reader sees it before it is shown a greater length."""
        new = slice(length, length + rows.size)
        self.segment.place(vectors, np.arange(new.start, new.stop))
        self.segment.rows[new] = rows
        self.earlier[new] = earlier


def fresh_beside(size: int, dim: int) -> Fresh:
    """Return an empty one to lie beside *size* vectors in lists."""
    segment = padding(-(-max(FEWEST, size // SHARE) // LANES), dim)
    segment.hints[:] = 0
    segment.deaths[:] = NEVER
    return Fresh(segment, np.full(segment.positions, -1))

"""Two more spaces that candidates are compared with a history in, beside the towers': baskets and tastes.

Towers learn what comes next. What belongs to the whole history, in any order, and what a user takes when shown it are
other questions, and their answers lie in other vectors (docs/experiments.md). Knows no counters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from slatewise.domain.history import History
from slatewise.domain.ids import Frame, Rows, Vectors
from slatewise.features.tastes import tastes

SET = "affinity_to_set"
TASTES = ("taste_lasting", "taste_visit", "appeal")
"""The columns of a bundle that learned tastes from what was shown."""
NAMES = (SET, *TASTES)
LONG = 50

Lookup = Callable[[Rows], Vectors]


@dataclass(frozen=True, slots=True)
class Spaces:
    """Item arrays by row, zeros for rows without.

    *inputs* and *outputs* ``(n, d)`` are the factors of a low-pass filter over who touched what (see
    `models.spectral`); *tastes* ``(n, d + 1)`` are unit vectors with the item's appeal to all behind them, None where
    the bundle learned none.
    """

    inputs: Lookup
    outputs: Lookup
    tastes: Lookup | None = None

    @staticmethod
    def of(inputs: Vectors, outputs: Vectors, tastes: Vectors | None) -> Spaces:
        """Return the spaces of these arrays, every row of which is known."""
        placed = None if tastes is None else (lambda rows: tastes[rows])
        return Spaces(lambda rows: inputs[rows], lambda rows: outputs[rows], placed)

    def read(self, history: History, rows: Rows, at: float, out: Frame) -> None:
        """Fill the columns `NAMES`, ``(4, n)``; what cannot be said stays as it is."""
        if len(history):
            out[0] = pairwise(self.outputs(rows), self.inputs(np.unique(history.row)).sum(0)[None])[:, 0]
        if self.tastes is None:
            return
        own = self.tastes(rows)
        out[3] = own[:, -1]
        long = history.last(LONG)
        if len(long):
            liked, visit = tastes(long, self.tastes(long.row)[:, :-1], at)
            near = pairwise(np.ascontiguousarray(own[:, :-1]), liked)
            out[1] = near[:, 0]
            if visit:
                out[2] = near[:, 1]


def pairwise(vectors: Vectors, others: Vectors) -> Vectors:
    """Return the dot products ``(n, m)`` of ``(n, d)`` and ``(m, d)``, each from its own two rows alone.

    Products of matrices sum in an order that depends on where in the batch a row stands: the same candidate would have
    other last digits in another company.
    """
    dots: Vectors = np.einsum("nd,md->nm", vectors, others)
    return dots

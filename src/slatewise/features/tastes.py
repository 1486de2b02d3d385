"""Where among the items a user's lasting taste lies, and where the visit going on: two vectors. Knows no counters.

What comes next follows the newest steps, so a tower that predicts it forgets what the user has liked all along; and the
even mean of some steps mixes the visit going on with those before.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slatewise.domain.history import History
from slatewise.domain.ids import Vectors

LASTING_S = 6 * 86_400.0
"""An interaction counts half for the lasting taste after so long: tastes wander."""
FEW = 3.0
"""Interactions' worth of doubt: little known is little liked."""
VISIT_S = 1_800.0
"""What lies further back belongs to another visit, as web analytics count them."""
FADING = 0.6
"""What each earlier interaction of the visit counts of the next."""


def tastes(history: History, vectors: Vectors, at: float) -> tuple[Vectors, int]:
    """Return the lasting taste and the visit's interest ``(2, d)`` at an instant, and how many steps the visit has.

    *vectors* ``(t, d)`` are those of the history's items, t at least 1. Steps without a time count for the lasting
    taste as if they were of now, and for no visit. The interest of a visit without steps is zero.
    """
    ago = at - history.at
    is_timed = np.isfinite(ago)
    lasting = np.exp2(np.where(is_timed, np.maximum(ago, 0.0), 0.0) / -LASTING_S)
    current = np.flatnonzero(is_timed & (ago < VISIT_S))
    visit = np.zeros(ago.size)
    visit[current] = FADING ** np.arange(current.size - 1, -1, -1.0)
    found = np.stack(
        [
            _sum(vectors, lasting) / np.float32(lasting.sum() + FEW),
            _sum(vectors, visit) / np.float32(max(visit.sum(), 1e-6)),
        ]
    )
    return found, int(current.size)


def _sum(vectors: Vectors, weight: npt.NDArray[np.float64]) -> Vectors:
    # Row after row: products with a matrix may sum in another order where the rows lie elsewhere in memory.
    total: Vectors = np.add.reduce(vectors * weight.astype(np.float32)[:, None], 0)
    return total

"""Where among the items a user's lasting taste lies, and where the visit going on: two vectors. Knows no counters.

What comes next follows the newest steps, so a tower that predicts it forgets what the user has liked all along; and the
even mean of some steps mixes the visit going on with those before.
"""

from __future__ import annotations

import numpy as np

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


_FADES = FADING ** np.arange(63, -1, -1.0)
"""What the newest steps of a visit count, oldest first."""


def tastes(history: History, vectors: Vectors, at: float) -> tuple[Vectors, int]:
    """Return the lasting taste and the visit's interest ``(2, d)`` at an instant, and how many steps the visit has.

    *vectors* ``(t, d)`` are those of the history's items, 1 <= t <= 64. Steps without a time count for the lasting
    taste as if they were of now, and for no visit. The interest of a visit without steps is zero.
    """
    weight, visit = taste_weights(history, at)
    return weight @ vectors, visit


def taste_weights(history: History, at: float) -> tuple[Vectors, int]:
    """Return what each step counts for the lasting taste and for the visit ``(2, t)``, and the visit's steps."""
    ago = at - history.at
    weight = np.zeros((2, ago.size))
    np.exp2(np.fmax(ago, 0.0) * (-1.0 / LASTING_S), out=weight[0])  # fmax takes the number where there is a NaN
    weight[0] /= weight[0].sum() + FEW
    current = ago < VISIT_S
    visit = int(np.count_nonzero(current))
    if visit:
        weight[1, current] = _FADES[-visit:] / _FADES[-visit:].sum()
    return weight.astype(np.float32), visit

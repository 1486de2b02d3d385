"""What was shown and what was taken of it, as arrays: what tastes are fitted on. Numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slatewise.domain.history import History
from slatewise.domain.ids import Rows
from slatewise.features.spaces import LONG
from slatewise.features.tastes import VISIT_S, taste_weights
from slatewise.training.moments import Moment

Numbers = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Shown:
    """n slates of up to s items, after histories of up to t steps.

    ``user`` ``(n,)``; ``item`` ``(n, s)`` and ``past`` ``(n, t)`` hold rows, -1 = padding; ``taken`` ``(n, s)`` says
    what was acted on; ``weight`` ``(n, 2, t)`` what each step counts for the lasting taste and for the visit; ``met``
    ``(n, s, actions + 1)`` whether the user had done that with the item, and whether in this visit.
    """

    user: Rows
    item: npt.NDArray[np.int64]
    taken: Numbers
    past: npt.NDArray[np.int64]
    weight: Numbers
    met: Numbers

    def __len__(self) -> int:
        return len(self.user)


def shown_of(moments: Sequence[Moment], actions: int) -> Shown:
    """Return the moments' slates; each moment must have one."""
    slates = [np.empty(0, np.int64) if m.shown is None else m.shown for m in moments]
    n, width = len(slates), max((s.size for s in slates), default=0)
    shown = Shown(
        np.array([m.user for m in moments], np.int64),
        np.full((n, width), -1, np.int64),
        np.zeros((n, width), np.float32),
        np.full((n, LONG), -1, np.int64),
        np.zeros((n, 2, LONG), np.float32),
        np.zeros((n, width, actions + 1), np.float32),
    )
    for i, (moment, rows) in enumerate(zip(moments, slates, strict=True)):
        shown.item[i, : rows.size] = rows
        # A few of a few: asked one by one, at a sixteenth of what a sort of each slate takes.
        shown.taken[i, : rows.size] = [row in moment.wanted for row in rows.tolist()]
        long = moment.history.last(LONG)
        if len(long):
            shown.past[i, : len(long)] = long.row
            shown.weight[i, :, : len(long)] = taste_weights(long, moment.at)[0]
            shown.met[i, : rows.size] = _met(moment.history, rows, moment.at, actions)
    return shown


def _met(history: History, rows: Rows, at: float, actions: int) -> npt.NDArray[np.bool_]:
    same = rows[:, None] == history.row
    told = np.zeros((rows.size, actions + 1), bool)
    place, step = np.nonzero(same)
    told[place, history.action[step]] = True
    told[place, actions] |= at - history.at[step] < VISIT_S
    return told

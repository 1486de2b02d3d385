"""What a baseline is: a function from histories to one score per catalogue item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Rows

ScoreMatrix: TypeAlias = npt.NDArray[np.float32]
"""One score per query and catalogue row, ``(queries, n_items)``; not finite where the method has no opinion."""


class Baseline(Protocol):
    """Scores the whole catalogue for each history. Fitted on training interactions alone."""

    @property
    def name(self) -> str:
        """The key in reports."""
        ...

    @property
    def n_items(self) -> int: ...

    def score(self, histories: Sequence[Rows]) -> ScoreMatrix:
        """Return shape ``(len(histories), n_items)``.

        *histories* hold the rows of positive actions, oldest first, repeats included.
        """
        ...

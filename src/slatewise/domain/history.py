"""What a user did, as columns; newest last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Rows


@dataclass(frozen=True, slots=True)
class History:
    """Interactions of one user, oldest first. ``row``, ``action`` and ``at`` have one length ``(t,)``.

    ``action`` indexes the settings' action names; ``at`` is float64 seconds, NaN where unknown.
    """

    row: Rows
    action: npt.NDArray[np.int64]
    at: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.row.size)

    def last(self, limit: int) -> History:
        """Return the newest *limit* interactions."""
        if limit <= 0:
            return EMPTY_HISTORY
        if self.row.size <= limit:
            return self
        return History(self.row[-limit:], self.action[-limit:], self.at[-limit:])

    def extended(self, row: int, action: int, at: float) -> History:
        """Return this history with one more interaction at the end."""
        return History(
            np.append(self.row, np.int64(row)),
            np.append(self.action, np.int64(action)),
            np.append(self.at, at),
        )


EMPTY_HISTORY = History(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))

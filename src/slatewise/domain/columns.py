"""Interactions as parallel columns: what bulk folds and training read instead of objects."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Mask, Rows


@dataclass(frozen=True, slots=True)
class Interactions:
    """Interactions in log order. All columns have one length ``(n,)``.

    ``at`` is float64 seconds, NaN where unknown; ``action`` indexes the settings' action names.
    """

    offset: npt.NDArray[np.int64]
    user: Rows
    item: Rows
    action: npt.NDArray[np.int64]
    at: npt.NDArray[np.float64]
    value: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return int(self.offset.size)

    def take(self, at: Mask | Rows | slice) -> Interactions:
        """Return the chosen interactions, in the order asked for."""
        return Interactions(*(getattr(self, f.name)[at] for f in fields(self)))

    @property
    def is_ordered(self) -> bool:
        """Whether most interactions carry a time: otherwise their order means nothing."""
        return len(self) > 0 and bool(np.isfinite(self.at).mean() > 0.5)

    @staticmethod
    def empty() -> Interactions:
        return Interactions(
            np.empty(0, np.int64),
            np.empty(0, np.int64),
            np.empty(0, np.int64),
            np.empty(0, np.int64),
            np.empty(0, np.float64),
            np.empty(0, np.float32),
        )

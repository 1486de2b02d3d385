"""How often items are acted on, over all time and lately. Folded in log order; knows nothing of users.

Recent counts use forward decay (Cormode et al., ICDE 2009): an interaction at t adds 2^((t - landmark) / half-life), so
adding never rewrites what is there and two counts compare without knowing the time of asking.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Rows, Scores

HALF_LIFE_S = 7 * 86_400.0
POOL = 512
REBUILD_AFTER = 4096

_Number = TypeVar("_Number", np.int64, np.float64)


class Popularity:
    """Counts per row, growing with the catalogue. One writer; readers see whole numbers."""

    def __init__(self) -> None:
        self.total: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self.recent: npt.NDArray[np.float64] = np.zeros(0, np.float64)
        self.landmark = np.nan
        self._pool: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._touched: set[int] = set()

    def fold(self, item: Rows, at: npt.NDArray[np.float64]) -> None:
        """Count interactions, in log order. One of unknown time weighs as much as one at the landmark."""
        if not item.size:
            return
        self._grow(int(item.max()) + 1)
        np.add.at(self.total, item, 1)
        known = np.isfinite(at)
        if np.isnan(self.landmark) and known.any():
            self.landmark = float(at[known][0])
        age = np.where(known, at - self.landmark, 0.0) / HALF_LIFE_S
        # 2^±960 stays finite; beyond twenty years from the landmark an interaction counts as at the border.
        np.add.at(self.recent, item, np.exp2(np.clip(age, -960.0, 960.0)))
        if item.size > REBUILD_AFTER or len(self._touched) > REBUILD_AFTER:
            self._rebuild_pool()
        else:
            self._touched.update(item.tolist())

    def most_recent(self, limit: int) -> tuple[Rows, Scores]:
        """Return the rows with the highest recent counts, best first, as shares of the best.

        Counts only grow, so the true top is always among the last pool and the rows touched since.
        """
        if limit > POOL:
            pool = np.flatnonzero(self.recent > 0)
        else:
            pool = np.union1d(self._pool, np.fromiter(tuple(self._touched), np.int64))
        order = pool[np.argsort(-self.recent[pool], kind="stable")][:limit]
        best = self.recent[order]
        return order, (best / best[0]).astype(np.float32) if best.size else best.astype(np.float32)

    def counts(self, rows: Rows) -> npt.NDArray[np.int64]:
        """Return the all-time counts of rows, 0 for rows never acted on."""
        return _read(self.total, rows)

    def trend(self, rows: Rows, at: float) -> npt.NDArray[np.float64]:
        """Return the recent counts of rows as seen at an instant, decayed to then; undecayed where no time is known."""
        age = at - self.landmark
        decay = float(np.exp2(np.clip(-age / HALF_LIFE_S, -960.0, 960.0))) if np.isfinite(age) else 1.0
        return _read(self.recent, rows) * decay

    def _grow(self, size: int) -> None:
        if size > self.total.size:
            size = max(size, int(self.total.size * 1.2))
            self.total = np.concatenate([self.total, np.zeros(size - self.total.size, np.int64)])
            self.recent = np.concatenate([self.recent, np.zeros(size - self.recent.size)])

    def _rebuild_pool(self) -> None:
        k = min(POOL, self.recent.size)
        self._pool = np.argpartition(-self.recent, k - 1)[:k].astype(np.int64) if k else self._pool
        self._touched = set()

    def save(self, folder: Path) -> None:
        """Write the counts into *folder*, which exists."""
        np.savez(folder / "popularity.npz", total=self.total, recent=self.recent, landmark=np.float64(self.landmark))

    @classmethod
    def load(cls, folder: Path) -> Popularity:
        """Return the counts that `save` wrote."""
        loaded = cls()
        with np.load(folder / "popularity.npz", allow_pickle=False) as file:
            loaded.total, loaded.recent, loaded.landmark = file["total"], file["recent"], float(file["landmark"])
        loaded._rebuild_pool()
        return loaded


def _read(column: npt.NDArray[_Number], rows: Rows) -> npt.NDArray[_Number]:
    values = np.zeros(rows.size, column.dtype)
    held = rows < column.size
    values[held] = column[rows[held]]
    return values

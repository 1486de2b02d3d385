"""How often items are acted on, over all time and lately. Folded in log order; knows nothing of users.

Recent counts use forward decay (Cormode et al., ICDE 2009): an interaction at t adds 2^((t - landmark) / half-life), so
adding never rewrites what is there and two counts compare without knowing the time of asking.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Rows, Scores

HALF_LIVES_S = (86_400.0, 7 * 86_400.0, 30 * 86_400.0)
"""Windows of recent counts, the shortest first."""
_HALF_LIVES_S = np.array(HALF_LIVES_S)
USUAL = 1
"""The window that says what trends."""
POOL = 512
REBUILD_AFTER = 4096

_Number = TypeVar("_Number", np.int64, np.float64)


class Popularity:
    """Counts per row, growing with the catalogue. One writer; readers see whole numbers.

    *landmark* is the instant that recent counts are relative to, by default that of the first interaction. Give the end
    of what is known: 960 half-lives from it are told apart, the rest counts as at that border.
    """

    def __init__(self, landmark: float = np.nan) -> None:
        self.total: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self.windows: npt.NDArray[np.float64] = np.zeros((len(HALF_LIVES_S), 0), np.float64)
        self.landmark = landmark
        self._pool: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._touched: set[int] = set()

    @property
    def recent(self) -> npt.NDArray[np.float64]:
        """The usual window's counts, relative to the landmark."""
        usual: npt.NDArray[np.float64] = self.windows[USUAL]
        return usual

    def fold(self, item: Rows, at: npt.NDArray[np.float64]) -> None:
        """Count interactions, in log order. One of unknown time weighs as much as one at the landmark."""
        if not item.size:
            return
        self._grow(int(item.max()) + 1)
        np.add.at(self.total, item, 1)
        known = np.isfinite(at)
        if np.isnan(self.landmark) and known.any():
            self.landmark = float(at[known][0])
        age_s = np.where(known, at - self.landmark, 0.0)
        for window, half_life_s in zip(self.windows, HALF_LIVES_S, strict=True):
            np.add.at(window, item, np.exp2(np.clip(age_s / half_life_s, -960.0, 960.0)))  # 2^960 stays finite
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
        usual: npt.NDArray[np.float64] = self.trends(rows, at)[USUAL]
        return usual

    def trends(self, rows: Rows, at: float) -> npt.NDArray[np.float64]:
        """Return what `trend` does for each window, shape ``(windows, n)``."""
        age_s = at - self.landmark
        decay = np.ones(len(HALF_LIVES_S))
        if math.isfinite(age_s):
            decay = np.exp2(np.minimum(np.maximum(-age_s / _HALF_LIVES_S, -960.0), 960.0))
        counts: npt.NDArray[np.float64] = _read(self.windows, rows) * decay[:, None]
        return counts

    def _grow(self, size: int) -> None:
        if size > self.total.size:
            size = max(size, int(self.total.size * 1.2))
            self.total = np.concatenate([self.total, np.zeros(size - self.total.size, np.int64)])
            more = np.zeros((len(HALF_LIVES_S), size - self.windows.shape[1]))
            self.windows = np.concatenate([self.windows, more], axis=1)

    def _rebuild_pool(self) -> None:
        k = min(POOL, self.recent.size)
        self._pool = np.argpartition(-self.recent, k - 1)[:k].astype(np.int64) if k else self._pool
        self._touched = set()

    def save(self, folder: Path) -> None:
        """Write the counts into *folder*, which exists."""
        np.savez(folder / "popularity.npz", total=self.total, windows=self.windows, landmark=np.float64(self.landmark))

    @classmethod
    def load(cls, folder: Path) -> Popularity:
        """Return the counts that `save` wrote."""
        loaded = cls()
        with np.load(folder / "popularity.npz", allow_pickle=False) as file:
            loaded.total, loaded.windows, loaded.landmark = file["total"], file["windows"], float(file["landmark"])
        loaded._rebuild_pool()
        return loaded


def _read(columns: npt.NDArray[_Number], rows: Rows) -> npt.NDArray[_Number]:
    """Return the rows' values of one column ``(size,)``, or of several ``(windows, size)``; 0 beyond their end."""
    if not rows.size or int(rows.max()) < columns.shape[-1]:
        return columns.take(rows, axis=-1)
    values = np.zeros((*columns.shape[:-1], rows.size), columns.dtype)
    held = rows < columns.shape[-1]
    values[..., held] = columns[..., rows[held]]
    return values

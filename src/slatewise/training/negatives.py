"""Which items a batch is contrasted with, and how often each was to be expected."""

from __future__ import annotations

import numpy as np

from slatewise.domain.ids import Rows

POPULAR_SHARE = 0.5
SMOOTHING = 0.75


class NegativeSampler:
    """Draws half of the negatives evenly and half by smoothed popularity: cold and popular wrong items both teach."""

    def __init__(self, counts: np.ndarray, size: int) -> None:
        self._size = size
        smoothed = counts.astype(np.float64) ** SMOOTHING
        total = smoothed.sum()
        popular = smoothed / total if total else np.full(counts.size, 1.0 / counts.size)
        self._cumulative = np.cumsum(popular)
        self._expected = size * (POPULAR_SHARE * popular + (1 - POPULAR_SHARE) / counts.size)

    def draw(self, rng: np.random.Generator) -> tuple[Rows, np.ndarray]:
        """Return distinct rows and the log of each one's expected count; shapes ``(k,)``, k at most the size asked."""
        popular = round(self._size * POPULAR_SHARE)
        drawn = np.concatenate(
            [
                np.searchsorted(self._cumulative, rng.random(popular) * self._cumulative[-1], side="right"),
                rng.integers(0, self._cumulative.size, self._size - popular),
            ]
        )
        rows = np.unique(np.minimum(drawn, self._cumulative.size - 1)).astype(np.int64)
        # Drawn several times, counted once: the chance of being in, not the expected count, is what to correct by.
        return rows, np.log(-np.expm1(-self._expected[rows])).astype(np.float32)

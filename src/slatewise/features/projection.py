"""Precomputed vectors to a few signed numbers: their principal components. Knows no attribute and no token.

Directions by randomised subspace iteration (Halko, Martinsson and Tropp, "Finding structure with randomness",
SIAM Review 2011): a few products with the data, at any length of vectors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

MAX_FITTED = 20_000
"""Vectors that the directions are read from; of more, evenly spaced ones."""

OVERSAMPLED = 16
ITERATIONS = 6
FAINT = 1e-3
"""A direction whose spread is a smaller share of the widest one's is noise."""

FAR = 10.0
"""Longest projection, where the typical one is of length 1: an outlier must not drown everything else."""

LARGEST = 1e18
"""Numbers beyond are cut to it, so that float32 holds their sums."""


class Projection(msgspec.Struct, frozen=True):
    """Takes a vector of ``length`` numbers to ``size`` components: ``components @ (vector - mean)``.

    ``mean`` ``(length,)`` and ``components`` ``(size, length)`` are little-endian float32; base64 in JSON.
    """

    length: int
    size: int
    mean: bytes
    components: bytes


class Projector:
    """Applies a projection. Thread-safe."""

    def __init__(self, projection: Projection) -> None:
        self._length = projection.length
        self._mean = np.frombuffer(projection.mean, "<f4").astype(np.float64)
        components = np.frombuffer(projection.components, "<f4").astype(np.float64)
        self._components = components.reshape(projection.size, projection.length)

    def project(self, vector: Sequence[float]) -> list[float]:
        """Return the components, none for a vector of another length or with an entry that is no finite number."""
        numbers = _numbers(vector) if len(vector) == self._length else None
        if numbers is None:
            return []
        found = self._components @ (numbers - self._mean)
        components: list[float] = (found * (FAR / max(float(np.linalg.norm(found)), FAR))).tolist()
        return components


def fit_projection(vectors: Sequence[Sequence[float]], size: int) -> Projection | None:
    """Return the projection to at most *size* principal components of the vectors of the most frequent length.

    Centred, and scaled so that the mean squared length of what it was fitted on is 1. None where the vectors do not
    differ, so also for less than two.
    """
    counted = Counter(map(len, vectors))
    length = max(counted, key=lambda length: (counted[length], length), default=0)
    fitting = [vector for vector in vectors if len(vector) == length]
    picked = np.unique(np.linspace(0, len(fitting) - 1, min(len(fitting), MAX_FITTED)).astype(np.int64))
    sound = [numbers for place in picked.tolist() if (numbers := _numbers(fitting[place], np.float32)) is not None]
    if not length or not sound:
        return None
    table = np.stack(sound)
    largest = float(np.abs(table).max())
    mean = table.mean(0, dtype=np.float64).astype(np.float32)
    table -= mean
    spread = float(np.abs(table).max())
    if spread <= max(1e-6 * largest, 1 / LARGEST):
        return None  # nothing but rounding
    table /= spread
    directions = _directions(table, size)
    typical = np.sqrt(np.mean(((table @ directions.T).astype(np.float64) ** 2).sum(1)))
    components = (directions / (typical * spread)).astype("<f4")
    return Projection(length, len(components), mean.astype("<f4").tobytes(), components.tobytes())


def _directions(table: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """Return the widest orthonormal directions of a centred *table* ``(n, length)``, widest first.

    Shape ``(<= size, length)``.
    """
    n, length = table.shape
    width = min(size + OVERSAMPLED, n, length)
    start = np.random.default_rng(0).standard_normal((n, width), np.float32)
    basis = np.linalg.qr(table.T @ start)[0]
    for _ in range(ITERATIONS):
        basis = np.linalg.qr(table.T @ (table @ basis))[0]
    _, spread, turned = np.linalg.svd(table @ basis, full_matrices=False)
    directions = (turned @ basis.T)[: min(size, int((spread > FAINT * spread[0]).sum()))]
    # Either sign is right; always the same one makes a fit repeatable.
    strongest = np.take_along_axis(directions, np.abs(directions).argmax(1)[:, None], 1)
    found: npt.NDArray[np.float32] = directions * np.sign(strongest)
    return found


def _numbers(vector: Sequence[float], kind: type[np.floating] = np.float64) -> npt.NDArray[np.floating] | None:
    """Return the vector as an array, None where not every entry is a finite number."""
    try:
        numbers = np.array(vector, np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    if not np.isfinite(numbers).all():
        return None
    return np.clip(numbers, -LARGEST, LARGEST).astype(kind)

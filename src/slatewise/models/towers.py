"""The two towers as exported from training: ONNX graphs behind `ports.models`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Vectors
from slatewise.models.sessions import OnnxSession
from slatewise.ports.models import UNKNOWN_AGE, Bag, Sequence


class OnnxUserTower:
    """Encodes histories. Thread-safe."""

    def __init__(self, path: Path, dim: int) -> None:
        self._session = OnnxSession(path)
        self._dim = dim

    @property
    def dim(self) -> int:
        return self._dim

    def encode(self, history: Sequence, user: Bag) -> Vectors:
        if not history.item.shape[1]:
            # Graph tracing cannot promise a time axis of length 0; one masked step says the same.
            history = empty_step(history)
        return self._session.run(
            item=history.item,
            action=history.action,
            gap=history.gap,
            age=history.age,
            mask=history.mask,
            user_token=user.token,
            user_weight=user.weight,
        )[0]


class OnnxItemTower:
    """Encodes items. Thread-safe."""

    def __init__(self, path: Path, dim: int) -> None:
        self._session = OnnxSession(path)
        self._dim = dim

    @property
    def dim(self) -> int:
        return self._dim

    def encode(self, known: npt.NDArray[np.int64], item: Bag) -> tuple[Vectors, Vectors]:
        embedding, vector = self._session.run(known=known, token=item.token, weight=item.weight)
        return embedding, vector


def empty_step(history: Sequence) -> Sequence:
    """Return a batch without interactions as one masked step."""
    b, _, d = history.item.shape
    blank = np.zeros((b, 1), np.int64)
    timeless = np.full((b, 1), UNKNOWN_AGE, np.float32)
    return Sequence(np.zeros((b, 1, d), np.float32), blank, blank, timeless, np.zeros((b, 1), np.float32))

"""Spectral factors as towers: what serves where no deep towers were trained. Numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Vectors
from slatewise.models.spectral import SpectralFactors
from slatewise.ports.models import Bag, Sequence


class SpectralUserTower:
    """The user vector is the sum of the history's input embeddings. Order, actions and attributes are not read."""

    def __init__(self, dim: int) -> None:
        self._dim = dim

    @property
    def dim(self) -> int:
        return self._dim

    def encode(self, history: Sequence, user: Bag) -> Vectors:
        total: Vectors = np.einsum("btd,bt->bd", history.item, history.mask).astype(np.float32)
        norm = np.linalg.norm(total, axis=1, keepdims=True)
        return (total / np.where(norm > 0, norm, 1.0)).astype(np.float32)


class SpectralItemTower:
    """Looks up factors; an item unseen in training has zero vectors, so only other sources can offer it.

    The item vectors are not of unit length: their norm carries popularity.
    """

    def __init__(self, factors: SpectralFactors) -> None:
        self._input = np.vstack([np.zeros((1, factors.input.shape[1]), np.float32), factors.input])
        self._output = np.vstack([np.zeros((1, factors.output.shape[1]), np.float32), factors.output])

    @property
    def dim(self) -> int:
        return int(self._output.shape[1])

    def encode(self, known: npt.NDArray[np.int64], item: Bag) -> tuple[Vectors, Vectors]:
        return self._input[known], self._output[known]

"""Spectral factors as towers: what serves where no deep towers were trained. Numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Vectors
from slatewise.models.attribute_map import estimate
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
    """Looks factors up; an item unseen in training gets what the map makes of its attributes.

    *mapped* is ``(tokens, 2 d)``: to input embeddings, then to item vectors; without it such an item has zero vectors
    and only other sources can offer it. Item vectors need not be of unit length: their norm carries popularity.
    """

    def __init__(self, embeddings: Vectors, vectors: Vectors, mapped: Vectors | None = None) -> None:
        self._embeddings = embeddings
        self._vectors = vectors
        self._mapped = mapped

    @property
    def dim(self) -> int:
        return int(self._vectors.shape[1])

    def encode(self, known: npt.NDArray[np.int64], item: Bag) -> tuple[Vectors, Vectors]:
        dim = self.dim
        both = np.zeros((known.size, 2 * dim), np.float32) if self._mapped is None else estimate(item, self._mapped)
        embedding, vector = both[:, :dim], both[:, dim:]
        seen = known > 0
        embedding[seen], vector[seen] = self._embeddings[known[seen] - 1], self._vectors[known[seen] - 1]
        return embedding, vector

"""What retrieves, fitted: item arrays and an encoder of histories, from the deep towers or the spectral factors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from slatewise.domain.history import History
from slatewise.domain.ids import Rows, Vectors
from slatewise.models.spectral import SpectralFactors
from slatewise.models.spectral_towers import SpectralUserTower
from slatewise.ports.models import Bag
from slatewise.ports.models import Sequence as Steps
from slatewise.training.material import Material
from slatewise.training.tower_modules import TwoTower
from slatewise.training.tower_training import TowerData, item_arrays, user_vectors
from slatewise.training.windows import pad_histories


@dataclass(frozen=True, slots=True)
class Retriever:
    """Input embeddings and item vectors, ``(n_items, d)`` each, and ``encode``: rows (-1 = padding), actions, gaps
    ``(b, t)`` and the users' bags to user vectors ``(b, d)``."""

    embeddings: Vectors
    vectors: Vectors
    encode: Callable[[np.ndarray, np.ndarray, np.ndarray, Bag], Vectors]

    def users(self, users: Rows, histories: Sequence[History], material: Material, length: int) -> Vectors:
        """Return the vectors of these users after the newest *length* interactions of these histories."""
        return self.encode(*pad_histories(histories, length), material.user_bags(users))


def deep_retriever(model: TwoTower, material: Material) -> Retriever:
    """Return the towers as they are now."""
    embeddings, vectors = item_arrays(model, TowerData(material))

    def encode(row: np.ndarray, action: np.ndarray, gap: np.ndarray, users: Bag) -> Vectors:
        return user_vectors(model, embeddings, row, action, gap, users)

    return Retriever(embeddings, vectors, encode)


def spectral_retriever(factors: SpectralFactors) -> Retriever:
    """Return the factors, with users folded in as serving does it."""
    tower = SpectralUserTower(factors.input.shape[1])

    def encode(row: np.ndarray, action: np.ndarray, gap: np.ndarray, users: Bag) -> Vectors:
        held = (row >= 0).astype(np.float32)
        return tower.encode(Steps(factors.input[np.maximum(row, 0)], action, gap, held), users)

    return Retriever(factors.input, factors.output, encode)

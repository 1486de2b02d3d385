"""What retrieves, fitted: item vectors, an encoder of histories, and the neighbour lists beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from slatewise.domain.history import History
from slatewise.domain.ids import Rows, Vectors
from slatewise.models.als import AlsFactors
from slatewise.models.als_towers import AlsUserTower
from slatewise.models.item_item import ItemItem
from slatewise.models.spectral import SpectralFactors
from slatewise.models.spectral_towers import SpectralUserTower
from slatewise.ports.models import Bag
from slatewise.ports.models import Sequence as Steps
from slatewise.training.material import Material
from slatewise.training.validation import Matrix, Validation
from slatewise.training.windows import Padded, pad_histories

if TYPE_CHECKING:
    from slatewise.training.tower_modules import TwoTower

WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 2.0, 4.0, 8.0, 30.0, 100.0)
"""Weights of the lists that are tried, in units of the lists' own scale: see `list_scale`."""

LISTS_DECIDE = WEIGHTS[-1]
"""The weight at which vectors only part those whom the lists leave equal."""


SAMPLE = 200


@dataclass(frozen=True, slots=True)
class Retriever:
    """Input embeddings and item vectors, ``(n_items, d)`` each, and ``encode``: histories and the users' bags to user
    vectors ``(b, d)``. A candidate scores by ``user . vector + weight * lists``."""

    embeddings: Vectors
    vectors: Vectors
    encode: Callable[[Padded, Bag], Vectors]
    lists: ItemItem | None = None
    weight: float = 0.0

    def users(self, users: Rows, histories: Sequence[History], material: Material, length: int) -> Vectors:
        """Return the vectors of these users after the newest *length* interactions of these histories."""
        return self.encode(pad_histories(histories, length), material.user_bags(users))

    def with_lists(self, lists: ItemItem, weight: float) -> Retriever:
        """Return this retriever with lists beside its vectors."""
        return replace(self, lists=lists, weight=weight)

    def by_vectors(self, validation: Validation, material: Material) -> Callable[[slice], Matrix]:
        """Return what scores the validation's users by vectors alone."""

        def scores(part: slice) -> Matrix:
            found: Matrix = (
                self.encode(validation.past.take(part), material.user_bags(validation.user[part])) @ self.vectors.T
            )
            return found

        return scores


def spectral_retriever(factors: SpectralFactors) -> Retriever:
    """Return the factors, with users folded in as serving does it.

    Item vectors are divided by one number, so that a user's best dot product is about 1, as between deep towers:
    weights of the lists mean the same beside either.
    """
    vectors = (factors.output / _best_dot(factors)).astype(np.float32)
    tower = SpectralUserTower(factors.input.shape[1])

    def encode(past: Padded, users: Bag) -> Vectors:
        held = (past.row >= 0).astype(np.float32)
        return tower.encode(Steps(factors.input[np.maximum(past.row, 0)], past.action, past.gap, past.age, held), users)

    return Retriever(factors.input, vectors, encode)


def _best_dot(factors: SpectralFactors) -> float:
    """Return the median over some items of the best score after that item alone."""
    norm = np.linalg.norm(factors.input, axis=1)
    known = np.flatnonzero(norm > 0)
    some = known[:: max(1, known.size // SAMPLE)]
    if not some.size:
        return 1.0
    best = (factors.input[some] / norm[some, None] @ factors.output.T).max(1)
    return float(np.median(best)) or 1.0


def als_retriever(factors: AlsFactors) -> Retriever:
    """Return ALS factors, with users folded in as serving does it. One array is both embeddings and vectors."""
    tower = AlsUserTower(factors.ridge)

    def encode(past: Padded, users: Bag) -> Vectors:
        held = (past.row >= 0).astype(np.float32)
        item = factors.item[np.maximum(past.row, 0)] * held[..., None]
        return tower.encode(Steps(item, past.action, past.gap, past.age, held), users)

    return Retriever(factors.item, factors.item, encode)


def deep_retriever(model: TwoTower, material: Material) -> Retriever:
    """Return the towers as they are now. Needs torch."""
    from slatewise.training.tower_graph import LastStep
    from slatewise.training.tower_training import TowerData, item_arrays, user_vectors

    embeddings, vectors = item_arrays(model, TowerData(material))
    tower = LastStep(model.user)

    def encode(past: Padded, users: Bag) -> Vectors:
        return user_vectors(tower, embeddings, past, users)

    return Retriever(embeddings, vectors, encode)


def list_scale(lists: ItemItem, histories: Sequence[Rows]) -> float:
    """Return the median over histories of the best list score: what makes weights comparable between data sets."""
    best = [scores.max() for rows in histories if (scores := lists.around(rows)[1]).size]
    return float(np.median(best)) if best else 1.0


def blended(
    retriever: Retriever, lists: ItemItem | None, validation: Validation, material: Material
) -> tuple[Retriever, float, float]:
    """Choose the lists' weight on the validation; return the blend, its NDCG@10 and that of the vectors alone.

    Without lists the retriever comes back as it is.
    """
    by_vectors = retriever.by_vectors(validation, material)
    if lists is None:
        alone = validation.ndcg(by_vectors)
        return retriever, alone, alone
    scale = list_scale(lists, validation.rows)

    def options(part: slice) -> Sequence[Matrix]:
        dense, sparse = by_vectors(part), lists.scores(validation.rows[part]) / np.float32(scale)
        return [dense + np.float32(weight) * sparse for weight in WEIGHTS]

    ndcg = validation.ndcgs(options)
    best = int(ndcg.argmax())
    return retriever.with_lists(lists, WEIGHTS[best] / scale), float(ndcg[best]), float(ndcg[0])

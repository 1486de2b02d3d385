"""EASE: each item as a linear function of all others, in closed form. Strong, but it inverts a dense matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg

from slatewise.domain.columns import Interactions
from slatewise.domain.errors import InputError
from slatewise.domain.ids import Rows
from slatewise.evaluation.baselines.baseline import ScoreMatrix
from slatewise.evaluation.baselines.sparse import weighted_histories
from slatewise.models.interaction_matrix import interaction_matrix

REGULARISATION = 500.0
MAX_ITEMS = 20_000
"""Items up to which the matrix is inverted: 1.6 GB in float32."""


@dataclass(frozen=True, slots=True)
class Ease:
    """``weights`` float32 ``(n_items, n_items)`` with a zero diagonal: row i adds to all scores where i was touched."""

    weights: npt.NDArray[np.float32]
    name: str = "ease"

    @property
    def n_items(self) -> int:
        return len(self.weights)

    def score(self, histories: Sequence[Rows]) -> ScoreMatrix:
        """Sum the weights of the history's distinct rows; NaN where nothing relates."""
        scores = np.asarray(weighted_histories(histories, None, self.n_items) @ self.weights, np.float32)
        scores[scores == 0.0] = np.nan
        return scores


def fit_ease(
    training: Interactions, n_items: int, regularisation: float = REGULARISATION, max_items: int = MAX_ITEMS
) -> Ease | None:
    """Minimise ``|X - X B|^2 + regularisation |B|^2`` with a zero diagonal of B; None above *max_items* items.

    Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019. A user's repeated interactions with an item
    count once. Time is O(n_items^3). Raises InputError unless the regularisation is above zero.
    """
    if not regularisation > 0:
        raise InputError("regularisation", regularisation, "a number above 0")
    if n_items > max_items:
        return None
    pairs = interaction_matrix(training.user, training.item, n_items)
    gram = np.asfortranarray((pairs.T @ pairs).toarray(), np.float32)
    gram[np.diag_indices(n_items)] += np.float32(regularisation)
    return Ease(_weights(gram))


def _weights(gram: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return ``I - P / diag(P)`` for ``P = gram^-1``, column by column. Overwrites *gram*."""
    if not gram.size:
        return gram
    factor, _ = scipy.linalg.lapack.spotrf(gram, lower=1, overwrite_a=1)
    weights, _ = scipy.linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    for item in range(len(weights)):
        weights[item, item + 1 :] = weights[item + 1 :, item]
    weights /= -weights.diagonal().copy()
    np.fill_diagonal(weights, 0.0)
    return np.ascontiguousarray(weights)

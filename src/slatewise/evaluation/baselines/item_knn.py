"""Item-to-item neighbours: what those who liked these items liked too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from slatewise.domain.columns import Interactions
from slatewise.domain.ids import Rows
from slatewise.evaluation.baselines.baseline import ScoreMatrix
from slatewise.evaluation.baselines.sparse import dense_scores, weighted_histories
from slatewise.models.interaction_matrix import interaction_matrix

NEIGHBOURS = 200
SHRINKAGE = 10.0
BLOCK = 1024


@dataclass(frozen=True, slots=True)
class ItemKnn:
    """``similarity`` is ``(n_items, n_items)`` CSR: per row the nearest items' similarities, itself left out."""

    similarity: Any
    name: str = "item_knn"

    @property
    def n_items(self) -> int:
        return int(self.similarity.shape[0])

    def score(self, histories: Sequence[Rows]) -> ScoreMatrix:
        """Sum the similarities to the history's distinct rows; NaN where none is a neighbour."""
        return dense_scores(weighted_histories(histories, None, self.n_items), self.similarity)


def fit_item_knn(
    training: Interactions, n_items: int, neighbours: int = NEIGHBOURS, shrinkage: float = SHRINKAGE
) -> ItemKnn:
    """Compute ``c_ij / (sqrt(n_i n_j) + shrinkage)`` over users and keep the best *neighbours* of each item.

    A user's repeated interactions with an item count once. Sarwar et al., "Item-based collaborative filtering
    recommendation algorithms", WWW 2001; shrinkage after Bell and Koren, 2007.
    """
    pairs = interaction_matrix(training.user, training.item, n_items)
    norm = np.sqrt(np.asarray(pairs.sum(0)).ravel()).astype(np.float32)
    by_item = pairs.T.tocsr()
    blocks = [
        _nearest((by_item[start : start + BLOCK] @ pairs).tocsr(), start, norm, neighbours, shrinkage)
        for start in range(0, n_items, BLOCK)
    ]
    similarity = sp.vstack(blocks, format="csr") if blocks else sp.csr_matrix((0, 0), dtype=np.float32)
    return ItemKnn(similarity)


def _nearest(counts: Any, start: int, norm: Any, neighbours: int, shrinkage: float) -> Any:
    item = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    value = counts.data / (norm[item + start] * norm[counts.indices] + np.float32(shrinkage))
    value[counts.indices == item + start] = 0.0
    # Similarities are at most 1, so one key sorts by item, then similarity: three times faster than two keys.
    order = np.argsort(2.0 * item - value, kind="stable")
    place = np.arange(order.size) - counts.indptr[item]
    kept = order[(place < neighbours) & (value[order] > 0)]
    return sp.csr_matrix((value[kept], (item[kept], counts.indices[kept])), shape=counts.shape, dtype=np.float32)

"""Neighbour lists from a whole history read as a set: a wide low-pass filter and direct co-occurrence in one relation.

Sparse long-tail data need a thousand spectral dimensions, which no vector index likes, and beyond those the counts
themselves (Shen et al., CIKM 2021, add both filters). Most of that is in few entries: distilled into each item's
strongest neighbours it costs a sparse sum per request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slatewise.domain.ids import Rows, Vectors
from slatewise.models.interaction_matrix import degrees
from slatewise.models.item_item import BAG, ItemItem, strongest
from slatewise.models.spectral import SpectralBasis

USER_EXPONENT, FROM_EXPONENT, TO_EXPONENT = 0.75, 0.6, 0.3
"""How much long histories and popular items are damped in the direct filter; chosen on held-back training data."""

BLOCK = 512

DENSE_FLOPS = 6e12
"""Work up to which all pairs of items are compared: about a minute on two cores."""

WIDER = 4
"""How many times the kept neighbours are looked at by direct co-occurrence before the low-pass filter has its say."""


@dataclass(frozen=True, slots=True)
class LowPass:
    """Which filter: the first ``rank`` signals weighed by sigma^``power``, plus ``direct`` times co-occurrence."""

    rank: int
    power: float
    direct: float


def direct_filter(matrix: Any) -> tuple[Any, Any]:
    """Return CSR ``(n_items, users)`` and ``(users, n_items)`` whose product is the direct item-item filter.

    Entry (i, j) is the sum of ``d_u^-.75`` over the users of both, over ``d_i^.6 d_j^.3``.
    """
    user, item = degrees(matrix, 1), degrees(matrix, 0)
    shared = sp.diags(user ** (-USER_EXPONENT / 2)) @ matrix
    left = sp.diags(item**-FROM_EXPONENT) @ shared.T
    right = shared @ sp.diags(item**-TO_EXPONENT)
    return left.tocsr().astype(np.float32), right.tocsr().astype(np.float32)


def fit_low_pass(
    matrix: Any,
    basis: SpectralBasis,
    choice: LowPass,
    neighbours: int,
    last: int,
    progress: Callable[[float], None] | None = None,
) -> ItemItem:
    """Return each item's strongest *neighbours* under the chosen filter; histories are sets of their *last* items.

    In catalogues of up to some fifty thousand items all pairs are compared; in larger ones those used together most,
    `WIDER` times as many as are kept.
    """
    by_item, by_user = direct_filter(matrix)
    factors = basis.factors(choice.rank, choice.power)
    n_items = matrix.shape[1]
    is_small = 2 * n_items * n_items * choice.rank <= DENSE_FLOPS
    blocks = []
    for lo in range(0, n_items, BLOCK):
        if progress is not None:
            progress(lo / n_items)
        straight = (by_item[lo : lo + BLOCK] @ by_user).tocsr()
        straight.data *= np.float32(choice.direct) if choice.direct else np.float32(1e-6)
        pick = _of_all if is_small else _of_neighbours
        blocks.append(pick(factors.input[lo : lo + BLOCK], factors.output, straight, neighbours, lo))
    return strongest(sp.vstack(blocks, format="csr"), neighbours, BAG, last)


def _of_all(left: Vectors, right: Vectors, straight: Any, neighbours: int, first: int) -> Any:
    score = left @ right.T
    row = np.repeat(np.arange(len(score)), np.diff(straight.indptr))
    score[row, straight.indices] += straight.data
    own = np.arange(len(score))
    score[own, first + own] = 0.0
    kept = min(neighbours, score.shape[1])
    best = np.argpartition(score, score.shape[1] - kept, axis=1)[:, score.shape[1] - kept :]
    value = np.take_along_axis(score, best, 1)
    return sp.csr_matrix((value.ravel(), best.ravel(), np.arange(len(score) + 1) * kept), shape=score.shape)


def _of_neighbours(left: Vectors, right: Vectors, straight: Any, neighbours: int, first: int) -> Any:
    near = strongest(straight, WIDER * neighbours, BAG, 1, first)
    row = np.repeat(np.arange(near.start.size - 1), np.diff(near.start))
    value = near.value + _dots(left, right, row, near.other)
    return sp.csr_matrix((value, near.other, near.start), shape=(len(left), straight.shape[1]))


def _dots(left: Vectors, right: Vectors, row: Rows, other: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """Return the dot products of the given pairs, a few thousand at a time to stay in the cache."""
    found = np.empty(row.size, np.float32)
    for lo in range(0, row.size, 4096):
        part = slice(lo, lo + 4096)
        found[part] = np.einsum("nd,nd->n", left[row[part]], right[other[part]])
    return found

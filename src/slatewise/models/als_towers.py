"""Implicit ALS as towers: the user vector is solved for from the history's item vectors. Numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Rows, Vectors
from slatewise.models.least_squares import Ridge, Stack, solve_lists
from slatewise.ports.models import Bag, Sequence


class AlsUserTower:
    """Folds a history in as `AlsFactors.fold_in` does, to unit length. Order, actions and attributes are not read.

    It sees vectors, not rows: equal vectors in a history count once. So a repeated item does, as in training, but also
    two items that exactly the same users touched. Items without a vector are not counted. An empty history gives zeros.
    """

    def __init__(self, ridge: Ridge) -> None:
        self._ridge = ridge

    @property
    def dim(self) -> int:
        return self._ridge.dim

    def encode(self, history: Sequence, user: Bag) -> Vectors:
        first = _first_of_equals(history.item, history.mask > 0)
        length = np.where(first.any(1), first.shape[1] - first[:, ::-1].argmax(1), 0)

        def take(which: Rows, start: int, stop: int) -> Stack:
            return history.item[which, start:stop] * first[which, start:stop, None].astype(np.float32)

        solved = solve_lists(length, first.sum(1), take, self._ridge)
        norm = np.linalg.norm(solved, axis=1, keepdims=True)
        return (solved / np.where(norm > 0, norm, 1.0)).astype(np.float32)


class AlsItemTower:
    """Looks up factors, as input embedding and item vector alike; an item unseen in training has zero vectors.

    The item vectors are not of unit length: their norm carries popularity.
    """

    def __init__(self, item: Vectors) -> None:
        self._item = np.vstack([np.zeros((1, item.shape[1]), np.float32), item])

    @property
    def dim(self) -> int:
        return int(self._item.shape[1])

    def encode(self, known: npt.NDArray[np.int64], item: Bag) -> tuple[Vectors, Vectors]:
        found = self._item[known]
        return found, found


def _first_of_equals(item: Stack, present: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Mark per history ``(b, t)`` the first of each distinct vector that is present and not zero."""
    first = present & item.any(2)
    query, step = np.nonzero(first)
    if not query.size:
        return first
    vectors = np.ascontiguousarray(item[query, step])
    as_bytes = vectors.view(np.dtype((np.void, vectors.shape[1] * vectors.itemsize)))[:, 0]
    vector = np.unique(as_bytes, return_inverse=True)[1]
    kept = np.unique(query * vector.size + vector, return_index=True)[1]
    first[:] = False
    first[query[kept], step[kept]] = True
    return first

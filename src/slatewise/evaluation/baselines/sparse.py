"""Sparse matrices that several baselines score through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slatewise.domain.ids import Rows
from slatewise.evaluation.baselines.baseline import ScoreMatrix
from slatewise.evaluation.lists import flat


def weighted_histories(histories: Sequence[Rows], weights: npt.NDArray[np.float32] | None, n_items: int) -> Any:
    """Return ``(len(histories), n_items)`` in CSR form.

    With *weights* the newest row of a history weighs ``weights[0]``, the one before ``weights[1]``, and so on, repeats
    adding up; without, each distinct row weighs 1. Rows outside the catalogue are left out.
    """
    value, query, position = flat(histories)
    inside = (value >= 0) & (value < n_items)
    if weights is None:
        strength = np.ones(value.size, np.float32)
    else:
        length = np.fromiter((len(rows) for rows in histories), np.int64, len(histories))
        age = length[query] - 1 - position
        inside &= age < weights.size
        strength = weights[np.minimum(age, weights.size - 1)]
    matrix = sp.csr_matrix((strength[inside], (query[inside], value[inside])), shape=(len(histories), n_items))
    matrix.sum_duplicates()
    if weights is None:
        matrix.data[:] = 1.0
    return matrix


def dense_scores(histories: Any, relation: Any) -> ScoreMatrix:
    """Return ``histories @ relation`` in full, NaN where nothing relates."""
    scores: ScoreMatrix = (histories @ relation).toarray().astype(np.float32, copy=False)
    scores[scores == 0.0] = np.nan
    return scores

"""Who touched what, as a sparse matrix: what every linear model starts from."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slatewise.domain.ids import Rows


def interaction_matrix(user: Rows, item: Rows, n_items: int) -> Any:
    """Return ``(distinct users, n_items)`` float32 CSR of ones; repeated pairs count once."""
    users, row = np.unique(user, return_inverse=True)
    pairs = sp.csr_matrix((np.ones(item.size, np.float32), (row, item)), shape=(users.size, n_items))
    pairs.sum_duplicates()
    pairs.data[:] = 1.0
    return pairs


def degrees(matrix: Any, axis: int) -> npt.NDArray[np.float64]:
    """Return the sums along *axis* (1: per user, 0: per item), at least 1 so that they can be divided by."""
    return np.maximum(np.asarray(matrix.sum(axis), np.float64).ravel(), 1.0)

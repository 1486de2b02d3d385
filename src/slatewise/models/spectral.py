"""Spectral matrix factorisation: a low-pass filter of the interaction graph, with users folded in from history.

N = Du^-1/2 R Di^-1/2 is the degree-normalised interaction matrix; its top right singular vectors V are the smoothest
signals on the item graph (Shen et al., "How Powerful is Graph Convolution for Recommendation?", CIKM 2021), found by
randomised subspace iteration (Halko, Martinsson, Tropp, SIAM Review 2011). A user is the sum over the history of
``d_i^-1/2 V_i``; an item scores by the inner product with ``d_j^1/2 V_j``. So an unseen user costs O(history * dim).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.sparse as sp

from slatewise.domain.ids import Rows, Scores, Vectors

ITERATIONS = 5
OVERSAMPLING = 16


@dataclass(frozen=True, slots=True)
class SpectralFactors:
    """``input`` and ``output`` embeddings ``(n_items, dim)``, not of unit length; the singular values ``(dim,)``."""

    input: Vectors
    output: Vectors
    singular_values: npt.NDArray[np.float32]

    def score(self, history: Rows) -> Scores:
        """Return the score of every item for one history; shape ``(n_items,)``. Rows beyond the factors are ignored."""
        known = history[history < len(self.input)]
        return self.output @ self.input[known].sum(0) if known.size else np.zeros(len(self.output), np.float32)


def fit_spectral(
    user: Rows, item: Rows, n_items: int, dim: int, rng: np.random.Generator, power: float = 0.0
) -> SpectralFactors:
    """Factorise the interactions; repeated pairs count once.

    *power* p weighs the input embeddings by sigma^p: 0 keeps all kept frequencies alike, 1 favours the broad tastes.
    *dim* is cut to what the data's rank can carry.
    """
    users, row = np.unique(user, return_inverse=True)
    pairs = sp.csr_matrix((np.ones(item.size, np.float32), (row, item)), shape=(users.size, n_items))
    pairs.sum_duplicates()
    pairs.data[:] = 1.0
    user_degree = np.maximum(np.asarray(pairs.sum(1)).ravel(), 1.0)
    item_degree = np.maximum(np.asarray(pairs.sum(0)).ravel(), 1.0)
    normalised = (sp.diags(user_degree**-0.5) @ pairs @ sp.diags(item_degree**-0.5)).tocsr().astype(np.float32)
    kept = max(1, min(dim, min(normalised.shape) - 1))
    vectors, values = _right_singular(normalised, kept, rng)
    wide = np.zeros((n_items, dim), np.float32)
    wide[:, :kept] = vectors
    sigma = np.zeros(dim, np.float32)
    sigma[:kept] = values
    scale = (item_degree**0.5).astype(np.float32)[:, None]
    weights = np.where(sigma > 0, sigma**power, 0.0).astype(np.float32)
    return SpectralFactors(wide / scale * weights, wide * scale, sigma)


def _right_singular(matrix: sp.csr_matrix, k: int, rng: np.random.Generator) -> tuple[Vectors, npt.NDArray[np.float32]]:
    transposed = matrix.T.tocsr()
    width = min(k + OVERSAMPLING, min(matrix.shape))
    basis = rng.standard_normal((matrix.shape[1], width)).astype(np.float32)
    for _ in range(ITERATIONS):
        basis = _orthonormal(transposed @ (matrix @ basis))
    small = matrix @ basis
    values, rotation = np.linalg.eigh((small.T @ small).astype(np.float64))
    best = np.argsort(values)[::-1][:k]
    vectors = (basis @ rotation[:, best].astype(np.float32)).astype(np.float32)
    return vectors, np.sqrt(np.maximum(values[best], 0.0)).astype(np.float32)


def _orthonormal(tall: Vectors) -> Vectors:
    # Cholesky-QR: one Gram matrix instead of Householder over the tall side; the ridge keeps rank-deficient data going.
    gram = (tall.T @ tall).astype(np.float64)
    gram[np.diag_indices(len(gram))] += 1e-6 * np.trace(gram) / len(gram) + 1e-12
    lower = np.linalg.cholesky(gram)
    solved = scipy.linalg.solve_triangular(lower, tall.T.astype(np.float64), lower=True).T
    return np.linalg.qr(solved)[0].astype(np.float32)

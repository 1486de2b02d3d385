"""Spectral matrix factorisation: a low-pass filter of the interaction graph, with users folded in from history.

N = Du^-1/2 R Di^-1/2 is the degree-normalised interaction matrix; its top right singular vectors V are the smoothest
signals on the item graph (Shen et al., "How Powerful is Graph Convolution for Recommendation?", CIKM 2021), found by
randomised subspace iteration (Halko, Martinsson, Tropp, SIAM Review 2011). A user is the sum over the history of
``d_i^-1/2 V_i``; an item scores by the inner product with ``d_j^1/2 V_j``. So an unseen user costs O(history * dim).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.sparse as sp

from slatewise.domain.ids import Rows, Scores, Vectors
from slatewise.models.interaction_matrix import degrees, interaction_matrix

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

    def turned_to(self, other: SpectralFactors) -> SpectralFactors:
        """Return these factors with their axes turned as near as possible to those of *other*; every score stays.

        Two decompositions of nearly the same data differ in signs and in the order of like signals: what learned on
        the vectors of one reads nonsense in those of the other (orthogonal Procrustes: Schönemann, 1966).
        """
        both = [_unit(factors.output) for factors in (self, other)]
        turn = scipy.linalg.orthogonal_procrustes(*both)[0].astype(np.float32)
        return SpectralFactors(self.input @ turn, self.output @ turn, self.singular_values)


@dataclass(frozen=True, slots=True)
class SpectralBasis:
    """The smoothest *k* signals: ``vectors`` ``(n_items, k)`` orthonormal, ``sigma`` ``(k,)`` falling, item ``degree``.

    One decomposition serves every width up to k and every power.
    """

    vectors: Vectors
    sigma: npt.NDArray[np.float32]
    degree: npt.NDArray[np.float64]

    def factors(self, dim: int, power: float = 0.0) -> SpectralFactors:
        """Return factors of width *dim*, padded with zeros where the basis is narrower.

        *power* p weighs the input embeddings by sigma^p: 0 keeps all frequencies alike, 1 favours the broad tastes.
        """
        kept = min(dim, self.sigma.size)
        wide = np.zeros((len(self.vectors), dim), np.float32)
        wide[:, :kept] = self.vectors[:, :kept]
        sigma = np.zeros(dim, np.float32)
        sigma[:kept] = self.sigma[:kept]
        scale = (self.degree**0.5).astype(np.float32)[:, None]
        weights = np.where(sigma > 0, sigma**power, 0.0).astype(np.float32)
        return SpectralFactors(wide / scale * weights, wide * scale, sigma)


def _unit(vectors: Vectors) -> Vectors:
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = (vectors / np.where(norm > 0, norm, 1.0)).astype(np.float32)
    return unit


def spectral_basis(
    matrix: Any, k: int, rng: np.random.Generator, progress: Callable[[float], None] | None = None
) -> SpectralBasis:
    """Decompose a 0/1 interaction matrix ``(users, n_items)``. *k* is cut to what the data's rank can carry.

    *progress* is told the share done.
    """
    item_degree = degrees(matrix, 0)
    normalised = normalise(matrix)
    kept = max(1, min(k, min(normalised.shape) - 1))
    vectors, sigma = _right_singular(normalised, kept, rng, progress or _silent)
    return SpectralBasis(vectors, sigma, item_degree)


def normalise(matrix: Any) -> Any:
    """Return ``Du^-1/2 R Di^-1/2`` of a 0/1 matrix R, float32 CSR."""
    user, item = degrees(matrix, 1), degrees(matrix, 0)
    return (sp.diags(user**-0.5) @ matrix @ sp.diags(item**-0.5)).tocsr().astype(np.float32)


def fit_spectral(
    user: Rows, item: Rows, n_items: int, dim: int, rng: np.random.Generator, power: float = 0.0
) -> SpectralFactors:
    """Factorise the interactions; repeated pairs count once. See `SpectralBasis.factors` for *power*."""
    return spectral_basis(interaction_matrix(user, item, n_items), dim, rng).factors(dim, power)


def _silent(share: float) -> None:
    del share


def _right_singular(
    matrix: Any, k: int, rng: np.random.Generator, progress: Callable[[float], None]
) -> tuple[Vectors, npt.NDArray[np.float32]]:
    transposed = matrix.T.tocsr()
    width = min(k + OVERSAMPLING, min(matrix.shape))
    basis = rng.standard_normal((matrix.shape[1], width)).astype(np.float32)
    for i in range(ITERATIONS):
        progress(i / (ITERATIONS + 1))
        basis = _orthonormal(transposed @ (matrix @ basis))
    # Cholesky-QR loses digits where directions are nearly dependent; a second round brings them back.
    basis = _orthonormal(basis)
    small = matrix @ basis
    values, rotation = np.linalg.eigh((small.T @ small).astype(np.float64))
    best = np.argsort(values)[::-1][:k]
    vectors = (basis @ rotation[:, best].astype(np.float32)).astype(np.float32)
    progress(1.0)
    return vectors, np.sqrt(np.maximum(values[best], 0.0)).astype(np.float32)


def _orthonormal(tall: Vectors) -> Vectors:
    # Cholesky-QR: one Gram matrix instead of Householder over the tall side; the ridge keeps rank-deficient data going.
    gram = (tall.T @ tall).astype(np.float64)
    gram[np.diag_indices(len(gram))] += 1e-6 * np.trace(gram) / len(gram) + 1e-12
    lower = np.linalg.cholesky(gram).astype(np.float32)
    solved: Vectors = scipy.linalg.solve_triangular(lower, tall.T, lower=True, check_finite=False).T
    return np.ascontiguousarray(solved, np.float32)

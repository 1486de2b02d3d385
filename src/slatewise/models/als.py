"""Implicit alternating least squares: users and items by turns as ridge regressions on each other.

Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008, in the form of Rendle,
Krichene, Zhang and Koren, "Revisiting the performance of iALS on item recommendation benchmarks", RecSys 2022: minimise
``sum over interactions (1 - u.v)^2 + alpha sum over all pairs (u.v)^2 + sum over users and items lambda_n |w|^2`` with
``lambda_n = lambda (n + alpha m)^exponent``, n the interactions of the one and m the size of the other side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slatewise.domain.errors import InputError
from slatewise.domain.ids import Rows, Scores, Vectors
from slatewise.models.interaction_matrix import interaction_matrix
from slatewise.models.least_squares import Ridge, in_eigenbasis, solve_rows

UNOBSERVED = 0.02
REGULARISATION = 0.002
EXPONENT = 1.0
ITERATIONS = 8

SPREAD = 0.1
"""Expected length of an item's vector at the start."""


@dataclass(frozen=True, slots=True)
class AlsFactors:
    """Item vectors ``(n_items, d)`` in their eigenbasis, not of unit length, and what folding a user in needs.

    Nothing is kept of the users. Items nobody touched have zero vectors.
    """

    item: Vectors
    ridge: Ridge

    @property
    def gram(self) -> npt.NDArray[np.float32]:
        """``item.T @ item``, ``(d, d)``."""
        diagonal: npt.NDArray[np.float32] = np.diag(self.ridge.spectrum)
        return diagonal

    def fold_in(self, histories: Sequence[Rows] | Any) -> Vectors:
        """Return a vector per history, ``(b, d)``, not of unit length; zeros where nothing in it is known.

        *histories* are rows, or a CSR matrix of ones ``(b, n_items)``. Repeated rows count once, rows beyond the
        factors not at all.
        """
        if hasattr(histories, "indptr"):
            return solve_rows(histories, self.item, self.ridge)
        length = np.fromiter((len(history) for history in histories), np.int64, len(histories))
        row = np.concatenate([*histories, np.empty(0, np.int64)]).astype(np.int64)
        user = np.repeat(np.arange(length.size), length)
        known = (row >= 0) & (row < len(self.item))
        vectors = np.zeros((length.size, self.ridge.dim), np.float32)
        matrix = interaction_matrix(user[known], row[known], len(self.item))
        vectors[np.unique(user[known])] = solve_rows(matrix, self.item, self.ridge)
        return vectors

    def scores(self, histories: Sequence[Rows] | Any) -> npt.NDArray[np.float32]:
        """Return the scores of every item for each history; shape ``(b, n_items)``."""
        found: npt.NDArray[np.float32] = self.fold_in(histories) @ self.item.T
        return found

    def score(self, history: Rows) -> Scores:
        """Return the score of every item for one history; shape ``(n_items,)``. Rows beyond the factors are ignored."""
        scores: Scores = self.scores([history])[0]
        return scores


def fit_als(
    user: Rows,
    item: Rows,
    n_items: int,
    dim: int,
    rng: np.random.Generator,
    *,
    unobserved: float = UNOBSERVED,
    regularisation: float = REGULARISATION,
    exponent: float = EXPONENT,
    iterations: int = ITERATIONS,
) -> AlsFactors:
    """Factorise interactions given as parallel columns; repeated pairs count once.

    An iteration solves for all users, then for all items. *unobserved* is the weight of a pair without interaction
    against 1 for one with, *regularisation* and *exponent* are lambda and its growth with n. Time is
    ``O(interactions * dim^2)`` per iteration at most. Raises InputError for parameters out of range.
    """
    _refuse("dim", dim, dim >= 1, "at least 1")
    _refuse("iterations", iterations, iterations >= 1, "at least 1")
    _refuse("unobserved", unobserved, unobserved >= 0, "a weight of at least 0")
    _refuse("regularisation", regularisation, regularisation > 0, "a number above 0")
    _refuse("exponent", exponent, exponent >= 0, "at least 0")
    touched, column = np.unique(item, return_inverse=True)
    by_user = interaction_matrix(user, column, touched.size)
    by_item = by_user.T.tocsr()
    vectors = (rng.standard_normal((touched.size, dim)) * (SPREAD / dim**0.5)).astype(np.float32)
    for _ in range(iterations):
        for matrix in (by_user, by_item):
            vectors, ridge = _side(vectors, unobserved, regularisation, exponent)
            vectors = solve_rows(matrix, vectors, ridge)
    vectors, ridge = _side(vectors, unobserved, regularisation, exponent)
    items = np.zeros((n_items, dim), np.float32)
    items[touched] = vectors
    return AlsFactors(items, ridge)


def _side(vectors: Vectors, unobserved: float, regularisation: float, exponent: float) -> tuple[Vectors, Ridge]:
    rotated, spectrum = in_eigenbasis(vectors)
    return rotated, Ridge(spectrum, len(rotated), unobserved, regularisation, exponent)


def _refuse(field: str, value: float, is_right: bool, expected: str) -> None:
    if not is_right:
        raise InputError(field, value, expected)

"""Implicit ALS as a baseline: the matrix factorisation that published comparisons are made with."""

from __future__ import annotations

import numpy as np

from slatewise.domain.columns import Interactions
from slatewise.evaluation.baselines.matrix_factorisation import MatrixFactorisation
from slatewise.models.als import fit_als

DIM = 128


def fit_als_baseline(
    training: Interactions, n_items: int, rng: np.random.Generator, dim: int = DIM
) -> MatrixFactorisation:
    """Fit `models.als` with its default parameters; users are folded in from their history."""
    return MatrixFactorisation(fit_als(training.user, training.item, n_items, dim, rng), n_items, "als")

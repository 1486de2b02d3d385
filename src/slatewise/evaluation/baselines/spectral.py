"""Spectral factors as a baseline: a low-pass filter of the interaction graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slatewise.domain.columns import Interactions
from slatewise.domain.ids import Rows
from slatewise.evaluation.baselines.baseline import ScoreMatrix
from slatewise.evaluation.baselines.sparse import weighted_histories
from slatewise.models.spectral import SpectralFactors, fit_spectral

DIM = 512


@dataclass(frozen=True, slots=True)
class Spectral:
    """Scores whole batches through *factors*."""

    factors: SpectralFactors
    name: str = "spectral"

    @property
    def n_items(self) -> int:
        return len(self.factors.output)

    def score(self, histories: Sequence[Rows]) -> ScoreMatrix:
        """Sum the distinct rows' input embeddings against every output embedding; NaN where the sum is zero."""
        users = weighted_histories(histories, None, self.n_items) @ self.factors.input
        scores: ScoreMatrix = users @ self.factors.output.T
        scores[scores == 0.0] = np.nan
        return scores


def fit_spectral_baseline(
    training: Interactions, n_items: int, rng: np.random.Generator, dim: int = DIM, power: float = 0.0
) -> Spectral:
    """Fit `models.spectral` with *dim* signals, fewer where the data's rank is lower. Nothing is tuned."""
    if not len(training):
        nothing = np.zeros((n_items, dim), np.float32)
        return Spectral(SpectralFactors(nothing, nothing, np.zeros(dim, np.float32)))
    return Spectral(fit_spectral(training.user, training.item, n_items, dim, rng, power))

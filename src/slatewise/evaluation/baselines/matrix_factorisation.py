"""Matrix factorisation: any given model that folds a history in and scores every item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from slatewise.domain.ids import Rows, Scores
from slatewise.evaluation.baselines.baseline import ScoreMatrix


class HistoryScorer(Protocol):
    """A model fitted on training interactions that scores the catalogue for one history."""

    def score(self, history: Rows) -> Scores:
        """Return one score per item the model knows, by row; rows it does not know are ignored."""
        ...


@runtime_checkable
class BatchScorer(Protocol):
    """A model that scores the catalogue for many histories at once."""

    def scores(self, histories: Sequence[Rows]) -> ScoreMatrix:
        """Return ``(len(histories), n)``, each row as `HistoryScorer.score` gives it."""
        ...


@dataclass(frozen=True, slots=True)
class MatrixFactorisation:
    """Scores through *model*, in one batch where it can; items beyond what it knows get no opinion.

    Nor does anything for a history that is empty or means nothing to the model: all its scores are zero.
    """

    model: HistoryScorer | BatchScorer
    n_items: int
    name: str = "matrix_factorisation"

    def score(self, histories: Sequence[Rows]) -> ScoreMatrix:
        scores = np.full((len(histories), self.n_items), np.nan, np.float32)
        told = [query for query, history in enumerate(histories) if history.size]
        if told:
            known = self._scores([histories[query] for query in told])[:, : self.n_items]
            scores[told, : known.shape[1]] = np.where(known.any(1, keepdims=True), known, np.nan)
        return scores

    def _scores(self, histories: Sequence[Rows]) -> ScoreMatrix:
        if isinstance(self.model, BatchScorer):
            return self.model.scores(histories)
        return np.stack([self.model.score(history) for history in histories])

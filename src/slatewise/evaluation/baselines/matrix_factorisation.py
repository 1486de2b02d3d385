"""Matrix factorisation: any given model that folds a history in and scores every item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from slatewise.domain.ids import Rows, Scores
from slatewise.evaluation.baselines.baseline import ScoreMatrix


class HistoryScorer(Protocol):
    """A model fitted on training interactions that scores the catalogue for one history."""

    def score(self, history: Rows) -> Scores:
        """Return one score per item the model knows, by row; rows it does not know are ignored."""
        ...


@dataclass(frozen=True, slots=True)
class MatrixFactorisation:
    """Scores through *model*; items beyond what it knows, and empty histories, get no opinion."""

    model: HistoryScorer
    n_items: int
    name: str = "matrix_factorisation"

    def score(self, histories: Sequence[Rows]) -> ScoreMatrix:
        scores = np.full((len(histories), self.n_items), np.nan, np.float32)
        for query, history in enumerate(histories):
            if history.size:
                known = self.model.score(history)[: self.n_items]
                scores[query, : known.size] = known
        return scores

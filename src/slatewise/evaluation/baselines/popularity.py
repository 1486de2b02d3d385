"""Popularity: the same most used items for everybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slatewise.domain.columns import Interactions
from slatewise.domain.ids import Rows, Scores
from slatewise.evaluation.baselines.baseline import ScoreMatrix


@dataclass(frozen=True, slots=True)
class Popularity:
    """Counts per row, ``(n_items,)``."""

    count: Scores
    name: str = "popularity"

    @property
    def n_items(self) -> int:
        return self.count.size

    def score(self, histories: Sequence[Rows]) -> ScoreMatrix:
        return np.broadcast_to(self.count, (len(histories), self.n_items))


def fit_popularity(training: Interactions, n_items: int) -> Popularity:
    """Count the training interactions of each item. Items without any have no opinion of 0 but a count of 0."""
    return Popularity(np.bincount(training.item, minlength=n_items).astype(np.float32))

"""Decayed Markov counts: what tends to follow the last few items. The strongest simple method on ordered data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from slatewise.domain.columns import Interactions
from slatewise.domain.holdout import history_order
from slatewise.domain.ids import Rows
from slatewise.evaluation.baselines.baseline import ScoreMatrix
from slatewise.evaluation.baselines.sparse import dense_scores, weighted_histories

WINDOW = 10
DECAY = 0.8


@dataclass(frozen=True, slots=True)
class Markov:
    """``transitions`` is ``(n_items, n_items)`` CSR: decayed counts of the column's item following the row's."""

    transitions: Any
    name: str = "markov"

    @property
    def n_items(self) -> int:
        return int(self.transitions.shape[0])

    def score(self, histories: Sequence[Rows]) -> ScoreMatrix:
        """Sum the transitions from the last items, weighted .8 per step back; NaN where nothing ever followed."""
        recent = [rows[-WINDOW:] for rows in histories]
        weights = (DECAY ** np.arange(WINDOW)).astype(np.float32)
        return dense_scores(weighted_histories(recent, weights, self.n_items), self.transitions)


def fit_markov(training: Interactions, n_items: int) -> Markov:
    """Count within each user's training history which item follows which.

    Distances reach from 1 to 10, weighted .8^(distance - 1); an item following itself is not counted.
    """
    ordered = training.take(history_order(training))
    total = sp.csr_matrix((n_items, n_items), dtype=np.float32)
    for distance in range(1, min(WINDOW, len(ordered) - 1) + 1):
        before, after = ordered.item[:-distance], ordered.item[distance:]
        pair = (ordered.user[:-distance] == ordered.user[distance:]) & (before != after)
        weight = np.full(int(pair.sum()), DECAY ** (distance - 1), np.float32)
        total = total + sp.csr_matrix((weight, (before[pair], after[pair])), shape=total.shape)
    return Markov(total)

"""Scores candidates by the deep ranker's probabilities. Knows nothing of how its inputs are encoded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from slatewise.domain.candidate import Candidates
from slatewise.domain.errors import ConfigError
from slatewise.domain.ids import Rows, Vectors
from slatewise.domain.query import Resolved
from slatewise.ports.features import FeatureFrame
from slatewise.ports.models import Bag, Ranker, Sequence
from slatewise.ports.stages import Scored


class RankerInputs(Protocol):
    """Turns a query and rows into what a `Ranker` reads beside the features."""

    def __call__(self, query: Resolved, rows: Rows) -> tuple[Sequence, Vectors, Bag, Vectors]:
        """Return the history, the user vector ``(1, d)``, the bag of the user's attributes and the query's context, the
        item vectors ``(n, d)``; history and bag with batch 1."""
        ...


class ModelScorer:
    """Prices a candidate as the sum of weight times probability over the actions that have both. Thread-safe.

    What a query says in ``weights`` stands in for *weights*, action by action.

    Raises ConfigError where no head of the ranker has a weight.
    """

    name = "model"

    def __init__(self, ranker: Ranker, frame: FeatureFrame, inputs: RankerInputs, weights: Mapping[str, float]) -> None:
        self._ranker = ranker
        self._frame = frame
        self._inputs = inputs
        self._weights = {action: weights.get(action, 0.0) for action in ranker.actions}
        if not any(action in weights for action in ranker.actions):
            raise ConfigError(f"no action of the ranker ({', '.join(ranker.actions)}) has a weight in [actions]")

    def score(self, query: Resolved, candidates: Candidates) -> Scored:
        names = self._frame.names
        if not len(candidates):
            return Scored(np.empty(0, np.float32), names, np.empty((0, len(names)), np.float32), {})
        features = self._frame.read(query, candidates)
        history, user, request, vectors = self._inputs(query, candidates.row)
        probabilities = self._ranker.predict(history, user, request, vectors, features)
        score = np.zeros(len(candidates), np.float32)
        for action, weight in self._weights.items():
            wanted = query.query.weights.get(action, weight)
            if wanted:
                score += np.float32(wanted) * probabilities[action]
        return Scored(score, names, features, probabilities)

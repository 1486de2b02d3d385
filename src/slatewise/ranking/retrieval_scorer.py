"""Keeps the order of retrieval where no ranker can be asked. Knows nothing of models."""

from __future__ import annotations

import numpy as np

from slatewise.domain.candidate import Candidates
from slatewise.domain.query import Resolved
from slatewise.ports.stages import Scored


class RetrievalScorer:
    """Scores a candidate ``1 / (1 + position)``: sources price in different units, but each puts its best first.

    The one scorer that looks at places in the batch, since the order of retrieval is all that it knows.
    """

    name = "retrieval"

    def score(self, query: Resolved, candidates: Candidates) -> Scored:
        score = (1.0 / np.arange(1, len(candidates) + 1)).astype(np.float32)
        return Scored(score, (), np.empty((len(candidates), 0), np.float32), {})

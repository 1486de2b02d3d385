"""Candidates by vectors and by neighbour lists at once, in one order. Knows nothing of how either is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from slatewise.domain.candidate import Candidates
from slatewise.domain.ids import Rows, Vectors
from slatewise.domain.membership import among
from slatewise.domain.ordering import top
from slatewise.domain.query import Resolved
from slatewise.ports.index import VectorIndex
from slatewise.ports.relations import Relation
from slatewise.retrieval.allowed import allowed

NAMES = ("two_tower", "neighbours")


@dataclass(frozen=True, slots=True)
class Blend:
    """Lists beside the vectors: a candidate scores ``user . vector + weight * lists``.

    ``vectors`` maps rows to item vectors ``(n, d)``.
    """

    relation: Relation
    weight: float
    vectors: Callable[[Rows], Vectors]


class BlendedSource:
    """Takes the nearest vectors and the strongest list entries, and scores each by both. Thread-safe.

    A candidate's source is the index where that found it, the lists where only they did.
    """

    name = "two_tower"

    def __init__(self, index: VectorIndex, blend: Blend, limit: int) -> None:
        self._index = index
        self._blend = blend
        self.limit = limit

    def retrieve(self, query: Resolved, limit: int) -> Candidates:
        if limit <= 0:
            return Candidates.empty(self.name)
        history = query.user.history.row
        related, strength = self._blend.relation.around(history)
        held = allowed(related, query.allow)
        related, strength = related[held], strength[held]
        near = np.empty(0, np.int64)
        if query.vector is not None:
            near, _ = self._index.search(query.vector[0], limit, query.allow)
        strongest = np.sort(related[top(strength, limit)])
        rows = np.concatenate([near, strongest[~among(strongest, np.sort(near))]])
        score = np.zeros(rows.size, np.float32)
        if query.vector is not None:
            score += self._blend.vectors(rows) @ query.vector[0]
        listed = among(rows, related)
        score[listed] += self._blend.weight * strength[np.searchsorted(related, rows[listed])]
        source = (np.arange(rows.size) >= near.size).astype(np.int64)
        return Candidates(rows, score, source, NAMES).take(top(score, limit))

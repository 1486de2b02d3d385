"""Asks variants of the read line what the line itself is asked, in the same instant. Measures nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np

from slatewise.domain.ids import Positions, Scores
from slatewise.domain.query import Query
from slatewise.domain.slate import Slate
from slatewise.evaluation.compared_index import Compared, ComparedIndex
from slatewise.evaluation.measure import DEPTH
from slatewise.evaluation.popular_source import PopularSource
from slatewise.evaluation.replay import Recommend, StageLists
from slatewise.ports.index import VectorIndex
from slatewise.ports.stages import Source

CURVE = (50, 100, 200, 500)
"""Candidates of the vector source at which the line is measured."""

EXACT, POPULAR = "exact", "popularity"


class Lines(Protocol):
    """Makes read lines over the live bundle's own state: each differs from the live line in one thing."""

    @property
    def index(self) -> VectorIndex:
        """What the live line searches."""
        ...

    @property
    def exact(self) -> VectorIndex:
        """An exhaustive index over the same vectors."""
        ...

    def wider(self, k: int) -> Recommend:
        """Return a line whose vector source offers *k* candidates and whose ranker is given all there are."""
        ...

    def searching(self, index: VectorIndex) -> Recommend:
        """Return a line whose vector source searches *index*."""
        ...

    def offering(self, source: Source) -> Recommend:
        """Return a line that asks this source and no other, not even where it leaves a slate short."""
        ...


class Probe:
    """A read line that also asks the variants, for the queries at the places *chosen* (0-based, ascending).

    The counters that a replay folds are those of all lines, so each variant meets exactly what the line met. The
    variants take turns at being asked first: whoever comes later finds the processor's caches warm.

    ``lists`` has per variant (`EXACT`, `POPULAR`, or a number of `CURVE`) the stages of its slates, and ``timing_ms``
    their timings; ``searches`` has per chosen query what the index found. ``degraded`` counts degraded slates.
    """

    def __init__(self, recommend: Recommend, lines: Lines, popularity: Scores, chosen: Positions) -> None:
        self.chosen = chosen
        self.index = lines.index
        self._recommend = recommend
        self._compared = ComparedIndex(lines.index, lines.exact)
        self._variants: dict[str | int, Recommend] = {
            EXACT: lines.searching(self._compared),
            POPULAR: lines.offering(PopularSource(popularity, DEPTH)),
            **{k: lines.wider(k) for k in CURVE},
        }
        self._due = set(chosen.tolist())
        self._asked = 0
        self.lists: dict[str | int, list[StageLists]] = {name: [] for name in self._variants}
        self.timing_ms: dict[str | int, list[Mapping[str, float]]] = {name: [] for name in self._variants}
        self.searches: list[list[Compared]] = []
        self.degraded = 0

    def recommend(self, query: Query) -> Slate:
        """Return the line's own slate; the variants' are kept. Raises whatever a line raises."""
        slate = self._recommend(query)
        if self._asked in self._due:
            self._ask(replace(query, explain=False))
        self._asked += 1
        return slate

    def _ask(self, query: Query) -> None:
        names = list(self._variants)
        turn = len(self.searches) % len(names)
        for name in names[turn:] + names[:turn]:
            slate = self._variants[name](query)
            self.lists[name].append(StageLists.of(slate))
            self.timing_ms[name].append(slate.timing_ms)
            self.degraded += bool(slate.degraded)
        self.searches.append(self._compared.searches)
        self._compared.searches = []


def places(asked: int, limit: int, rng: np.random.Generator) -> Positions:
    """Return the places of at most *limit* of *asked* queries, drawn without replacement, ascending."""
    return np.sort(rng.choice(asked, min(asked, limit), replace=False)).astype(np.int64)

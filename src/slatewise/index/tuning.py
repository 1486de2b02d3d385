"""Builds inverted lists, in as many lists as make a search read the fewest bytes at the recall wanted.

Measured on vectors of users, because queries do not lie where items do.
"""

from __future__ import annotations

import numpy as np

from slatewise.domain.ids import Rows, Vectors
from slatewise.domain.settings import IndexSettings
from slatewise.index.ivf import IvfIndex
from slatewise.index.lists import usual_lists
from slatewise.index.plan import Plan
from slatewise.index.probing import fewest_probes, with_filters
from slatewise.index.recent import KEPT
from slatewise.index.renewal import grouped

SEVERAL_FROM = 100_000
"""Vectors from which it is worth clustering more than once to find the number of lists."""


def tuned_ivf(
    rows: Rows, vectors: Vectors, queries: Vectors | None, settings: IndexSettings, threads: int = 1
) -> IvfIndex:
    """Return lists of *vectors* ``(n, d)`` that reach ``settings.recall`` on *queries* ``(q, d)`` with the least work.

    Without queries, the vectors of some items stand in for them. Lists or probes that settings give are taken.
    """
    usual = settings.lists or usual_lists(len(rows))
    several = not settings.lists and not settings.probes and len(rows) >= SEVERAL_FROM
    judges = _judges(vectors, queries)
    made = [_planned(rows, vectors, judges, settings, lists, threads) for lists in _options(usual, several)]
    best = min(made, key=lambda index: index.lists + index.plan.probes * len(rows) / index.lists)
    if settings.probes or not len(judges):
        return best
    return best.with_plan(with_filters(best, best.plan, judges[: KEPT // 4], settings.recall))


def _options(usual: int, several: bool) -> tuple[int, ...]:
    return (usual // 2, usual, usual * 2) if several else (usual,)


def _planned(
    rows: Rows, vectors: Vectors, judges: Vectors, settings: IndexSettings, lists: int, threads: int
) -> IvfIndex:
    index = IvfIndex(vectors.shape[1], settings, grouped(rows, vectors, lists, threads), queries=judges)
    if settings.probes or not len(judges):
        return index.with_plan(Plan.usual(index.lists, settings))
    return index.with_plan(fewest_probes(index, judges, settings.recall))


def _judges(vectors: Vectors, queries: Vectors | None) -> Vectors:
    given = vectors if queries is None or not len(queries) else queries
    return np.take(given, np.random.default_rng(0).permutation(len(given))[:KEPT], axis=0)

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
from slatewise.index.probing import RECALL_K, fewest_probes, with_filters
from slatewise.index.recent import KEPT
from slatewise.index.renewal import grouped

SEVERAL_FROM = 100_000
"""Vectors from which it is worth clustering some of them more than once to find the number of lists."""

SAMPLE = 8
"""One vector in so many is clustered to compare numbers of lists; of its neighbours as many fewer are looked for."""


def tuned_ivf(
    rows: Rows, vectors: Vectors, queries: Vectors | None, settings: IndexSettings, threads: int = 1
) -> IvfIndex:
    """Return lists of *vectors* ``(n, d)`` that reach ``settings.recall`` on *queries* ``(q, d)`` with the least work.

    Without queries, the vectors of some items stand in for them. Lists or probes that settings give are taken.
    """
    judges = _judges(vectors, queries)
    lists, centroids, expected = settings.lists or usual_lists(len(rows)), None, 0
    if not settings.lists and not settings.probes and len(rows) >= SEVERAL_FROM:
        centroids, expected = _cheapest(vectors, judges, settings.recall, lists, threads)
    groups = grouped(rows, vectors, lists, threads, centroids=centroids)
    made = IvfIndex(vectors.shape[1], settings, groups, queries=judges)
    if settings.probes or not len(judges):
        return made.with_plan(Plan.usual(made.lists, settings))
    plan = fewest_probes(made, judges, settings.recall, start=expected // 2, threads=threads)
    return made.with_plan(with_filters(made, plan, judges[: KEPT // 4], settings.recall, threads=threads))


def _cheapest(vectors: Vectors, judges: Vectors, recall: float, usual: int, threads: int) -> tuple[Vectors, int]:
    """Return the centroids for which a search reads least, of half, one and two times the *usual*, and its probes.

    Judged on a sample of the vectors, whose nearest ten are spread over lists as the nearest hundred of all are.
    """
    sample = np.take(vectors, np.sort(np.random.default_rng(0).permutation(len(vectors))[::SAMPLE]), axis=0)

    def tried(lists: int) -> tuple[float, Vectors, int]:
        groups = grouped(np.arange(len(sample)), sample, lists, threads)
        index = IvfIndex(vectors.shape[1], IndexSettings(), groups)
        plan = fewest_probes(index, judges[: KEPT // 2], recall, k=max(1, RECALL_K // SAMPLE), threads=threads)
        return lists + plan.probes * len(vectors) / lists, groups.lists.centroids, plan.probes

    first, more = tried(usual), tried(usual * 2)
    best = more if more[0] < first[0] else min(first, tried(usual // 2), key=lambda option: option[0])
    return best[1], best[2]


def _judges(vectors: Vectors, queries: Vectors | None) -> Vectors:
    given = vectors if queries is None or not len(queries) else queries
    return np.take(given, np.random.default_rng(0).permutation(len(given))[:KEPT], axis=0)

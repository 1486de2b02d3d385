"""Chooses how many lists a search scans: the fewest that reach a recall on given queries."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import repeat
from math import ceil
from typing import Protocol

import numpy as np

from slatewise.domain.ids import Mask, Rows, Scores, Vectors
from slatewise.index.plan import EXACT_SHARE, Plan

RECALL_K = 100
FILTERED = (0.5, 0.1, 0.03)
"""Shares of allowed rows for which probes are measured."""

FILTERED_LESS = 0.01
"""Recall that filtered searches may miss beyond the others: to hold it too would cost more than twice their time."""

STEP = 2**0.5


class Probed(Protocol):
    """Lists that can be searched to any extent."""

    @property
    def lists(self) -> int: ...

    @property
    def rows_end(self) -> int:
        """One more than the largest row."""
        ...

    def __len__(self) -> int: ...

    def search_with(self, query: Vectors, k: int, allow: Mask | None, probes: int | None) -> tuple[Rows, Scores]:
        """Search with so many probes."""
        ...

    def search_exactly(self, query: Vectors, k: int, allow: Mask | None = None) -> tuple[Rows, Scores]:
        """Search everything."""
        ...


def fewest_probes(
    index: Probed, queries: Vectors, recall: float, *, k: int = RECALL_K, start: int = 0, threads: int = 1
) -> Plan:
    """Return the plan with the fewest probes that find a share of *recall* of the *k* best, and the measured curve.

    *start*: probes to begin with where many are expected.
    """
    probes, curve = _fewest(index, queries, None, recall, start or max(1, index.lists // 256), k, threads)
    return Plan(probes, (), curve)


def with_filters(index: Probed, plan: Plan, queries: Vectors, recall: float, *, threads: int = 1) -> Plan:
    """Return *plan* with the probes that hold almost *recall* where only a share of the rows is allowed."""
    recall -= FILTERED_LESS
    filtered, least, rng = [], plan.probes, np.random.default_rng(0)
    for share in FILTERED if len(index) * EXACT_SHARE > RECALL_K else ():
        allow = rng.random(index.rows_end) < share
        least, _ = _fewest(index, queries, allow, recall, least, RECALL_K, threads)
        filtered.append((share, least))
    return replace(plan, filtered=tuple(filtered))


def _fewest(
    index: Probed, queries: Vectors, allow: Mask | None, recall: float, start: int, k: int, threads: int
) -> tuple[int, tuple[tuple[int, float], ...]]:
    """Return the fewest probes and what was measured, by rising probes."""
    with ThreadPoolExecutor(threads) as pool:
        truth = list(pool.map(lambda query: index.search_exactly(query, k, allow)[0], queries))

        def share(query: Vectors, right: Rows, probes: int) -> float:
            found, _ = index.search_with(query, k, allow, probes)
            return float(np.isin(right, found).mean()) if right.size else 1.0

        def measured(probes: int) -> float:
            shares = list(pool.map(share, queries, truth, repeat(probes)))
            return round(float(np.mean(shares)) if shares else 1.0, 4)

        curve = [(min(start, index.lists), measured(min(start, index.lists)))]
        while curve[-1][1] < recall and curve[-1][0] < index.lists:
            probes = min(index.lists, round(max(curve[-1][0] * STEP, curve[-1][0] + 1)))
            curve.append((probes, measured(probes)))
        between = _between(curve, recall)
        if between is not None:
            curve.insert(-1, (between, measured(between)))
    return next((probes for probes, found in curve if found >= recall), curve[-1][0]), tuple(curve)


def _between(curve: list[tuple[int, float]], recall: float) -> int | None:
    """Return the probes at which a straight line reaches *recall*, in the logarithm of probes; None where none lie so.

    Recall bends downwards over that logarithm, so the line promises too little rather than too much.
    """
    if len(curve) < 2 or curve[-1][1] <= recall:
        return None
    (few, low), (many, high) = curve[-2:]
    probes = ceil(few * (many / few) ** ((recall - low) / (high - low)))
    return probes if few < probes < many else None

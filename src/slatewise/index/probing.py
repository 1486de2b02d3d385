"""Chooses how many lists a search scans: the fewest that reach a recall on given queries."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np

from slatewise.domain.ids import Mask, Rows, Scores, Vectors
from slatewise.index.plan import EXACT_SHARE, Plan

RECALL_K = 100
FILTERED = (0.5, 0.1, 0.03)
"""Shares of allowed rows for which probes are measured."""

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


def fewest_probes(index: Probed, queries: Vectors, recall: float) -> Plan:
    """Return the plan with the fewest probes that find a share of *recall* of the 100 best, and the measured curve."""
    probes, curve = _fewest(index, queries, None, recall, max(1, index.lists // 256))
    return Plan(probes, (), curve)


def with_filters(index: Probed, plan: Plan, queries: Vectors, recall: float) -> Plan:
    """Return *plan* with the probes that hold *recall* where only a share of the rows is allowed."""
    filtered, least, rng = [], plan.probes, np.random.default_rng(0)
    for share in FILTERED if len(index) * EXACT_SHARE > RECALL_K else ():
        allow = rng.random(index.rows_end) < share
        least, _ = _fewest(index, queries, allow, recall, least)
        filtered.append((share, least))
    return replace(plan, filtered=tuple(filtered))


def _fewest(
    index: Probed, queries: Vectors, allow: Mask | None, recall: float, start: int
) -> tuple[int, tuple[tuple[int, float], ...]]:
    truth = [index.search_exactly(query, RECALL_K, allow)[0] for query in queries]
    probes, curve = float(start), []
    while True:
        asked = min(index.lists, round(probes))
        found = [index.search_with(query, RECALL_K, allow, asked)[0] for query in queries]
        shares = [np.isin(right, mine).mean() for right, mine in zip(truth, found, strict=True) if right.size]
        curve.append((asked, round(float(np.mean(shares)) if shares else 1.0, 4)))
        if curve[-1][1] >= recall or asked == index.lists:
            return asked, tuple(curve)
        probes = max(probes * STEP, probes + 1)

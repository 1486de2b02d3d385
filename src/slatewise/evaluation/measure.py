"""All metrics of one set of lists, per query and in the mean. Does not know which stage or baseline made the lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Mask, Rows, Vectors
from slatewise.evaluation.bootstrap import standard_error
from slatewise.evaluation.lists import Counts, Hits, Lists, PerQuery, hits
from slatewise.evaluation.metrics.categories import distinct_categories
from slatewise.evaluation.metrics.coverage import coverage
from slatewise.evaluation.metrics.diversity import diversity
from slatewise.evaluation.metrics.hit_rate import hit_rate
from slatewise.evaluation.metrics.mrr import mrr
from slatewise.evaluation.metrics.ndcg import ndcg
from slatewise.evaluation.metrics.novelty import novelty
from slatewise.evaluation.metrics.recall import recall

DEPTH = 100
"""How many places of a list are looked at."""

K = 10


@dataclass(frozen=True, slots=True)
class Items:
    """What is known of the catalogue's items, by row: ``n_items`` rows were ever given.

    ``available`` marks who may be shown now (None: all), ``vectors`` are item vectors ``(n, d)`` and ``category`` one
    code per row, -1 where missing; without them diversity is not measured.
    """

    n_items: int
    available: Mask | None = None
    vectors: Vectors | None = None
    category: Rows | None = None

    @property
    def catalogue(self) -> int:
        """How many items may be shown."""
        return self.n_items if self.available is None else int(np.count_nonzero(self.available))


@dataclass(frozen=True, slots=True)
class Measured:
    """Metrics of one stage or baseline: ``value`` maps a metric's key to one value per query."""

    lists: Lists
    hits: Hits
    targets: Counts
    value: Mapping[str, PerQuery]
    catalogue: int

    def means(self, part: Mask | None = None) -> dict[str, float]:
        """Return each metric's mean over the queries of *part* (all by default), undefined ones left out.

        NaN where nothing is left. Coverage is of the part's lists together.
        """
        chosen = np.ones(len(self.lists), bool) if part is None else part
        means = {key: _mean(value[chosen]) for key, value in self.value.items()}
        shown = coverage(self.lists[chosen], self.catalogue, K) if chosen.any() else float("nan")
        return means | {f"coverage@{K}": shown}

    def errors(self, user: Rows) -> dict[str, float]:
        """Return each mean's standard error, with the queries of one user as one cluster."""
        return {key: standard_error(value, user) for key, value in self.value.items()}


def measure(lists: Lists, targets: Sequence[Rows], items: Items, popularity: npt.NDArray[np.float64]) -> Measured:
    """Measure lists ``(queries, depth)``; *targets* holds rows per query, *popularity* training counts per row."""
    hit, counts = hits(lists, targets)
    value = {
        f"ndcg@{K}": ndcg(hit, counts, K),
        f"hr@{K}": hit_rate(hit, counts, K),
        f"recall@{K}": recall(hit, counts, K),
        f"recall@{DEPTH}": recall(hit, counts, DEPTH),
        f"mrr@{K}": mrr(hit, counts, K),
        f"novelty@{K}": novelty(lists, popularity, K),
        f"diversity@{K}": np.full(len(lists), np.nan) if items.vectors is None else diversity(lists, items.vectors, K),
    }
    if items.category is not None:
        value[f"categories@{K}"] = distinct_categories(lists, items.category, K)
    return Measured(lists, hit, counts, value, items.catalogue)


def _mean(value: PerQuery) -> float:
    known = value[np.isfinite(value)]
    return float(known.mean()) if known.size else float("nan")

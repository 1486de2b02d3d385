"""Builds the index that settings ask for and measures how much of the truth it finds."""

from __future__ import annotations

import os

import numpy as np

from slatewise.domain.errors import InputError
from slatewise.domain.ids import Rows, Vectors
from slatewise.domain.settings import IndexSettings
from slatewise.index.checks import checked_vectors
from slatewise.index.exact import ExactIndex
from slatewise.index.hnsw import HnswIndex
from slatewise.index.ivf import IvfIndex
from slatewise.index.kernel import kernel_name
from slatewise.index.servers import SERVERS
from slatewise.index.tuning import tuned_ivf
from slatewise.ports.index import VectorIndex


def build_index(rows: Rows, vectors: Vectors, settings: IndexSettings, queries: Vectors | None = None) -> VectorIndex:
    """Return an index of these vectors, shape ``(n, d)``, of the kind that ``settings.kind`` and their number ask for.

    *queries* ``(q, d)`` are users' vectors, on which an ivf index chooses how far it searches. The same input gives
    the same index, except that hnsw above 50,000 rows uses every core and ties may fall otherwise.
    """
    width = np.shape(vectors)
    if len(width) != 2:
        raise InputError("vectors", width, "shape (n, d)")
    kind: str = settings.kind
    if kind == "auto":
        kind = ExactIndex.kind if len(rows) <= settings.exact_up_to else IvfIndex.kind
    if kind == ExactIndex.kind:
        exact = ExactIndex(width[1])
        exact.upsert(rows, vectors)
        return exact
    if kind in SERVERS:
        return SERVERS[kind].build(rows, vectors, settings)
    if kind == IvfIndex.kind:
        at, matrix = checked_vectors(rows, vectors, width[1])
        return tuned_ivf(at, matrix, queries, settings, threads=os.cpu_count() or 1)
    hnsw = HnswIndex(width[1], settings)
    hnsw.upsert(rows, vectors)
    hnsw.renew()
    return hnsw


def why_index(index: VectorIndex, settings: IndexSettings) -> dict[str, object]:
    """Return what a bundle's card says of the choice: the reason and, for lists, how many and how many are scanned."""
    asked = f"index.kind is {settings.kind}"
    limit = f"index.exact_up_to ({settings.exact_up_to:,} items)"
    size = f"up to {limit} a scan of all is fast" if index.is_exact else f"above {limit}"
    why: dict[str, object] = {"why": size if settings.kind == "auto" else asked}
    if isinstance(index, IvfIndex):
        plan = index.plan
        why |= {"kernel": kernel_name(), "lists": index.lists, "probes": plan.probes, "target": settings.recall}
        why |= {"probes_and_recall": [list(point) for point in plan.curve]}
        why |= {"probes_when_filtered": [list(point) for point in plan.filtered]}
    return why


def measure_recall(index: VectorIndex, rows: Rows, vectors: Vectors, queries: Vectors, k: int = 100) -> float:
    """Return recall@k of *index* against the exact truth over *rows* and *vectors*, the mean over *queries* ``(q, d)``.

    A row that ties with the last true one counts as found. 1.0 where there is nothing to find.
    Raises InputError without queries or for k below 1.
    """
    if len(queries) == 0 or k < 1:
        raise InputError("queries", f"{len(queries)} queries, k={k}", "at least one query and k of 1 or more")
    truth = ExactIndex(index.dim)
    truth.upsert(rows, vectors)
    if not len(truth):
        return 1.0
    return float(np.mean([_found_share(index, truth, query, k) for query in queries]))


def _found_share(index: VectorIndex, truth: ExactIndex, query: Vectors, k: int) -> float:
    expected, expected_score = truth.search(query, k)
    found, _ = index.search(query, k)
    asked = np.zeros(int(found.max(initial=0)) + 1, bool)
    asked[found] = True
    # Scored by the truth, so that an index that flatters itself gains nothing.
    _, score = truth.search(query, k, asked)
    return float(np.count_nonzero(score >= expected_score[-1])) / expected.size

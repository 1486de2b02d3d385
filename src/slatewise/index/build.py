"""Builds the index that settings ask for and measures how much of the truth it finds."""

from __future__ import annotations

import numpy as np

from slatewise.domain.errors import InputError
from slatewise.domain.ids import Rows, Vectors
from slatewise.domain.settings import IndexSettings
from slatewise.index.exact import ExactIndex
from slatewise.index.hnsw import HnswIndex
from slatewise.ports.index import VectorIndex


def build_index(rows: Rows, vectors: Vectors, settings: IndexSettings) -> VectorIndex:
    """Return an index of these vectors, shape ``(n, d)``: exact or hnsw by ``settings.kind`` and size.

    The same input gives the same index up to 50,000 rows; above, hnsw uses every core and ties may fall otherwise.
    """
    width = np.shape(vectors)
    if len(width) != 2:
        raise InputError("vectors", width, "shape (n, d)")
    if settings.kind == "exact" or (settings.kind == "auto" and len(rows) <= settings.exact_up_to):
        exact = ExactIndex(width[1])
        exact.upsert(rows, vectors)
        return exact
    hnsw = HnswIndex(width[1], settings)
    hnsw.upsert(rows, vectors)
    hnsw.renew()
    return hnsw


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

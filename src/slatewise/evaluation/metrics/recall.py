"""Recall: how much of what was wanted was found."""

from __future__ import annotations

from slatewise.evaluation.lists import Counts, Hits, PerQuery, share


def recall(hits: Hits, targets: Counts, k: int) -> PerQuery:
    """Return the share of each query's targets within its first *k* places; shape ``(queries,)``.

    *hits* is ``(queries, >= 0)``, *targets* ``(queries,)``. Targets outside the catalogue stay in the denominator. A
    query without targets has recall 0.
    """
    return share(hits[:, :k].sum(1).astype(float), targets)

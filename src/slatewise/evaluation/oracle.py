"""What a perfect ranker would show of the very candidates that the ranker was given. Knows no ranker."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slatewise.domain.ids import Rows
from slatewise.evaluation.lists import Lists, padded


def oracle_lists(candidates: Sequence[Rows], targets: Sequence[Rows], k: int) -> Lists:
    """Return per query its distinct targets among its candidates, first; shape ``(queries, k)``, padded.

    What else a perfect ranker shows does not matter: it is not wanted. A target that is no candidate (retrieval or a
    filter lost it, or the catalogue never had it) is out of its reach.
    """
    pairs = zip(candidates, targets, strict=True)
    return padded([np.intersect1d(held, wanted) for held, wanted in pairs], k)


def share_of_the_way(start: float, reached: float, ceiling: float) -> float:
    """Return how much of the way from *start* to *ceiling* was gone; negative for a step back, NaN without a way."""
    return (reached - start) / (ceiling - start) if ceiling > start else float("nan")

"""Drops what the user already has. Knows nothing of which actions count as seen."""

from __future__ import annotations

import numpy as np

from slatewise.domain.candidate import Candidates
from slatewise.domain.ids import Mask
from slatewise.domain.membership import among
from slatewise.domain.query import Resolved


class SeenFilter:
    """Drops the rows that the user has seen and the query blocks: none where settings do not block seen items."""

    name = "seen"

    def keep(self, query: Resolved, candidates: Candidates) -> Mask:
        dropped = among(candidates.row, query.blocked)
        # `blocked` is sorted and mostly misses, so the costlier look into the unsorted `seen` is rarely needed.
        if dropped.any():
            hit = dropped.nonzero()[0]
            dropped[hit] = np.isin(candidates.row[hit], query.user.seen)
        return ~dropped

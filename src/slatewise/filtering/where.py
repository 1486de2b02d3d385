"""Drops items that do not meet the query's conditions. Knows nothing of how conditions are read."""

from __future__ import annotations

import numpy as np

from slatewise.domain.candidate import Candidates
from slatewise.domain.ids import Mask
from slatewise.domain.membership import marked
from slatewise.domain.query import Resolved


class WhereFilter:
    """Drops the rows that ``query.allow`` does not hold."""

    name = "where"

    def keep(self, query: Resolved, candidates: Candidates) -> Mask:
        if query.allow is None:
            return np.ones(len(candidates), np.bool_)
        return marked(candidates.row, query.allow)

"""Drops what the query asks to leave out. Knows nothing of why."""

from __future__ import annotations

from slatewise.domain.candidate import Candidates
from slatewise.domain.ids import Mask
from slatewise.domain.membership import among
from slatewise.domain.query import Resolved


class ExcludedFilter:
    """Drops every blocked row. Declared after `SeenFilter`, what it still finds is what the query excludes."""

    name = "excluded"

    def keep(self, query: Resolved, candidates: Candidates) -> Mask:
        return ~among(candidates.row, query.blocked)

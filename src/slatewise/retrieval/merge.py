"""How offers of several sources become one list of candidates. Knows nothing of the sources themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slatewise.domain.candidate import Candidates
from slatewise.domain.ids import Rows
from slatewise.domain.membership import among


def merge(offers: Sequence[Candidates]) -> Candidates:
    """Concatenate offers; where two hold one row, the first keeps it. ``sources`` unites the names, first come first.

    No offers give no candidates and no sources.
    """
    if len(offers) == 1 and _are_distinct(offers[0].row):
        return offers[0]
    names: dict[str, int] = {}
    source = [np.empty(0, np.int64)]
    for offer in offers:
        place = np.array([names.setdefault(name, len(names)) for name in offer.sources], np.int64)
        source.append(place[offer.source] if len(offer) else source[0])
    united = Candidates(
        np.concatenate([np.empty(0, np.int64), *(offer.row for offer in offers)]),
        np.concatenate([np.empty(0, np.float32), *(offer.score for offer in offers)]),
        np.concatenate(source),
        tuple(names),
    )
    _, first = np.unique(united.row, return_index=True)
    return united if first.size == len(united) else united.take(np.sort(first))


def within_quota(offer: Candidates, blocked: Rows, limit: int) -> Candidates:
    """Return the offer up to its *limit*-th row that is not *blocked* (sorted).

    Sources are asked for more because some may be blocked; what turns out not to be needed must not crowd out others.
    """
    if len(offer) <= limit:
        return offer
    free = np.flatnonzero(~among(offer.row, blocked))
    return offer if free.size <= limit else offer.take(np.arange(free[limit - 1] + 1 if limit > 0 else 0))


def _are_distinct(rows: Rows) -> bool:
    ordered = np.sort(rows)
    return bool((ordered[1:] != ordered[:-1]).all())

"""A table with one row per shown item to impressions, one per slate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slatewise.datasets.columns import Parsed, as_text, missing, numbers, times
from slatewise.datasets.rules import ReadRules
from slatewise.datasets.table import Table, require
from slatewise.domain.events import Impression


def read_impressions(table: Table, rules: ReadRules) -> list[Impression]:
    """Return slates in time order, their items by position, or in file order where there is none.

    Rows of one request and user are one slate, shown at its earliest time. Raises InputError where a column is missing.
    """
    names = ("request_id", "user_id", "item_id")
    require(table, (*names, "timestamp"))
    table = table.refuse([(missing(as_text(table.columns[name])), f"{name} is missing") for name in names])
    at = times(table.columns["timestamp"])
    place = numbers(table.columns["position"]) if "position" in table.columns else _unplaced(len(table))
    wrong = {
        "timestamp is missing": at.missing,
        "timestamp is neither a number nor ISO-8601": at.bad,
        "timestamp is negative": at.values < 0,
        "timestamp lies in the future": at.values > rules.latest,
        "position is not a number": place.bad | place.missing,
    }
    good = ~np.logical_or.reduce(list(wrong.values()))
    table = table.refuse((mask, reason) for reason, mask in wrong.items())
    slates: dict[tuple[str, str], list[tuple[float, int, str]]] = {}
    earliest: dict[tuple[str, str], float] = {}
    requests, users, items = (as_text(table.columns[name]).to_pylist() for name in names)
    rows = zip(requests, users, items, place.values[good].tolist(), at.values[good].tolist(), strict=True)
    for row, (request, user, item, position, moment) in enumerate(rows):
        key = (request, user)
        slates.setdefault(key, []).append((position, row, item))
        earliest[key] = min(moment, earliest.get(key, moment))
    return [
        Impression(
            at=earliest[key], user_id=key[1], request_id=key[0], shown=tuple(item for _, _, item in sorted(slates[key]))
        )
        for key in sorted(slates, key=earliest.__getitem__)
    ]


def _unplaced(length: int) -> Parsed:
    return Parsed(np.zeros(length), np.zeros(length, bool), np.zeros(length, bool))

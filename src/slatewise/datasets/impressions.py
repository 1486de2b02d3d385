"""Rows that say what was shown, one per item, and the slates they make up. Knows no folder."""

from __future__ import annotations

import numpy as np

from slatewise.datasets.interactions import refuse_ids, refuse_times
from slatewise.datasets.numbers import numbers
from slatewise.datasets.rejects import Reject
from slatewise.datasets.sheet import Sheet, Verdict
from slatewise.domain.events import Impression

COLUMNS = ("request_id", "user_id", "item_id", "position", "timestamp")


def read_impressions(sheet: Sheet, now: float) -> tuple[list[Impression], list[Reject]]:
    """Return the slates of the good rows in order of time, and the refused rows.

    Rows of one request and user are one slate, shown at its earliest time; its items are in order of position, or of
    the file where there is no column position. Raises InputError where another column is missing.
    """
    sheet.require("request_id", "user_id", "item_id", "timestamp")
    verdict = Verdict(sheet)
    ids = {name: sheet.text(name) for name in ("request_id", "user_id", "item_id")}
    refuse_ids(verdict, **ids)
    at = refuse_times(verdict, now)
    verdict.refuse("missing timestamp", np.isnan(at))
    position = np.zeros(len(sheet))
    if "position" in sheet.columns:
        position, _ = numbers(sheet, "position")
        verdict.refuse("position is no number", np.isnan(position))
    request, user, item = (column.to_pylist() for column in ids.values())
    slates: dict[tuple[str, str], list[int]] = {}
    for place in np.flatnonzero(verdict.good).tolist():
        slates.setdefault((request[place], user[place]), []).append(place)
    shown = [
        Impression(
            at=float(at[places].min()),
            user_id=user_id,
            request_id=request_id,
            shown=tuple(item[place] for place in sorted(places, key=position.__getitem__)),
        )
        for (request_id, user_id), places in slates.items()
    ]
    return sorted(shown, key=lambda slate: slate.at), verdict.rejects()

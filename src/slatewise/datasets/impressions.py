"""Rows that say what was shown, one per item, and the slates they make up. Knows no folder."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slatewise.datasets import interactions
from slatewise.datasets.contexts import ContextColumns
from slatewise.datasets.interactions import refuse_ids, refuse_times
from slatewise.datasets.numbers import numbers
from slatewise.datasets.rejects import Reject
from slatewise.datasets.sheet import Sheet, Verdict
from slatewise.domain.events import Impression

COLUMNS = ("request_id", "user_id", "item_id", "position", "timestamp", "propensity", "explored_from")


def read_impressions(sheet: Sheet, now: float) -> tuple[list[Impression], list[Reject], tuple[str, ...]]:
    """Return the slates of the good rows in order of time, the refused rows, and the columns that were not used.

    Rows of one request and user are one slate, shown at its earliest time; its items are in order of position, or of
    the file where there is no column position. The columns propensity and explored_from are optional: a slate of which
    some row has no propensity, or was refused, has none at all, and explored_from is that of its last place (empty: 0).
    Further columns are the request's context, unless they differ within a slate, or are called as an interaction's are.
    Raises InputError where another column is missing.
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
    likely, drawn_from = _propensities(sheet, verdict)
    request, user, item = (column.to_pylist() for column in ids.values())

    def grouped() -> dict[tuple[str, str], list[int]]:
        slates: dict[tuple[str, str], list[int]] = {}
        for place in np.flatnonzero(verdict.good).tolist():
            slates.setdefault((request[place], user[place]), []).append(place)
        return slates

    contexts = ContextColumns(sheet, {*COLUMNS, *interactions.COLUMNS}, grouped().values())
    for name, rows in contexts.vectors().items():
        verdict.refuse(f"{name} is a vector: a request's context takes none", rows)
    slates = grouped()
    # A slate that lost a row has its places shifted: what was said of them holds no more.
    broken = {(request[place], user[place]) for place in np.flatnonzero(~verdict.good).tolist()}
    shown = []
    for (request_id, user_id), places in slates.items():
        at_once = sorted(places, key=position.__getitem__)
        known = not np.isnan(likely[at_once]).any() and (request_id, user_id) not in broken
        shown.append(
            Impression(
                at=float(at[places].min()),
                user_id=user_id,
                request_id=request_id,
                shown=tuple(item[place] for place in at_once),
                propensity=tuple(likely[at_once].tolist()) if known else None,
                explored_from=int(drawn_from[at_once[-1]]) if known else 0,
                context=contexts.of(at_once),
            )
        )
    return sorted(shown, key=lambda slate: slate.at), verdict.rejects(), contexts.ignored


def _propensities(sheet: Sheet, verdict: Verdict) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return per row its propensity, NaN where empty, and explored_from, 0 where empty; refuse what is neither."""
    likely, drawn_from = np.full(len(sheet), np.nan), np.zeros(len(sheet))
    if "propensity" in sheet.columns:
        likely, unread = numbers(sheet, "propensity")
        verdict.refuse("propensity is no probability above 0", unread | (likely <= 0) | (likely > 1))
    if "explored_from" in sheet.columns:
        drawn_from, unread = numbers(sheet, "explored_from")
        drawn_from = np.where(np.isnan(drawn_from), 0.0, drawn_from)
        verdict.refuse("explored_from is no whole number", unread | (drawn_from < 0) | (drawn_from % 1 != 0))
    return likely, drawn_from

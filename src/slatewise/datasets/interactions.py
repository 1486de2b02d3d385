"""Rows that say who acted on what, and the interactions they become, in order of time. Knows no folder."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from slatewise.datasets.identity import event_ids
from slatewise.datasets.numbers import numbers, times
from slatewise.datasets.rejects import Reject
from slatewise.datasets.sheet import Sheet, Verdict, has_line_break, is_null
from slatewise.domain.events import Interaction

COLUMNS = ("user_id", "item_id", "timestamp", "action", "value", "request_id")
MAX_AHEAD_S = 86_400.0
"""How far the clock behind the rows may run ahead of ours."""
SHUFFLE_SEED = 20_240_229


def read_interactions(
    sheet: Sheet, default_action: str, actions: Collection[str], now: float
) -> tuple[list[Interaction], list[Reject]]:
    """Return the good rows as interactions and the refused rows.

    Interactions are in order of time, equal times in file order, those without a time first; where no row has one they
    are shuffled with a fixed seed. Raises InputError without a column user_id or item_id.
    """
    sheet.require("user_id", "item_id")
    verdict = Verdict(sheet)
    users, items, requests = sheet.text("user_id"), sheet.text("item_id"), sheet.text("request_id")
    refuse_ids(verdict, user_id=users, item_id=items)
    at = refuse_times(verdict, now)
    value, wrong = numbers(sheet, "value")
    verdict.refuse("value is no finite number", wrong)
    action = pc.fill_null(sheet.text("action"), default_action)
    declared = pc.is_in(action, pa.array(list(actions), pa.string())).to_numpy(zero_copy_only=False)
    verdict.refuse(f"action is none of {', '.join(actions)}", ~declared)
    place = np.flatnonzero(verdict.good)
    place = place[time_order(at[place])]
    at, value = at[place], np.nan_to_num(value[place], nan=1.0)
    taken = pa.array(place)
    user, item, act, request = (column.take(taken).to_pylist() for column in (users, items, action, requests))
    ids = event_ids(user, item, act, at, value)
    moments = [None if unknown else each for each, unknown in zip(at.tolist(), np.isnan(at).tolist(), strict=True)]
    events = [
        Interaction(user_id=u, item_id=i, action=a, at=t, value=v, event_id=e, request_id=r)
        for u, i, a, t, v, e, r in zip(user, item, act, moments, value.tolist(), ids, request, strict=True)
    ]
    return events, verdict.rejects()


def time_order(at: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return places in order of time, stable, NaN first; a fixed shuffle where all is NaN."""
    if np.isnan(at).all():
        return np.random.default_rng(SHUFFLE_SEED).permutation(at.size)
    return np.argsort(np.where(np.isnan(at), -np.inf, at), kind="stable")


def refuse_ids(verdict: Verdict, **ids: pa.Array) -> None:
    """Refuse rows without one of the ids, given by column name, and ids over several lines."""
    for name, column in ids.items():
        verdict.refuse(f"missing {name}", is_null(column))
        # A quote that nobody closed swallows the lines below it; that must show, not pass as an odd id.
        verdict.refuse(f"line break in {name}", has_line_break(column))


def refuse_times(verdict: Verdict, now: float) -> npt.NDArray[np.float64]:
    """Return the column timestamp in seconds since the epoch, NaN where missing; refuse what cannot be a time."""
    at, wrong = times(verdict.sheet, "timestamp")
    verdict.refuse("timestamp is no time", wrong)
    verdict.refuse("timestamp is negative", at < 0)
    verdict.refuse("timestamp lies in the future", at > now + MAX_AHEAD_S)
    return at

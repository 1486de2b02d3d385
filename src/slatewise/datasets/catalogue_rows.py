"""Rows that describe items and users, and the changes they become. Knows no folder."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slatewise.datasets.attributes import attributes, lists
from slatewise.datasets.interactions import refuse_ids
from slatewise.datasets.numbers import times
from slatewise.datasets.rejects import Reject
from slatewise.datasets.sheet import Sheet, Verdict, is_null
from slatewise.datasets.vectors import holed
from slatewise.domain.events import Attributes, ItemChange, UserChange

ITEM_COLUMNS = ("item_id", "title", "categories", "available", "created_at")
USER_COLUMNS = ("user_id",)
YES = ("true", "t", "yes", "y", "1")
NO = ("false", "f", "no", "n", "0")


def read_items(sheet: Sheet, since: float, now: float) -> tuple[list[ItemChange], list[Reject]]:
    """Return the good rows as item changes in file order, and the refused rows.

    ``at`` is ``created_at`` within ``[0, now]``; an item that does not say when it was created was there when the data
    began, at *since*. Raises InputError without a column item_id.
    """
    sheet.require("item_id")
    verdict = Verdict(sheet)
    ids = sheet.text("item_id")
    refuse_ids(verdict, item_id=ids)
    created, wrong = times(sheet, "created_at")
    verdict.refuse("created_at is no time", wrong)
    available = pc.utf8_lower(sheet.text("available"))
    said = is_null(available) | pc.is_in(available, pa.array(YES + NO)).to_numpy(zero_copy_only=False)
    verdict.refuse("available is neither true nor false", ~said)
    described = attributes(sheet, ITEM_COLUMNS)
    _refuse_holes(verdict, described)
    _refuse_repeats(verdict, "item_id", ids)
    gone = pc.fill_null(pc.is_in(available, pa.array(NO)), False).to_numpy(zero_copy_only=False)
    rows = zip(
        ids.to_pylist(),
        sheet.text("title").to_pylist(),
        lists(sheet, "categories"),
        described,
        gone.tolist(),
        created.tolist(),
        strict=True,
    )
    items = [
        ItemChange(
            at=since if math.isnan(instant) else min(max(instant, 0.0), now),
            item_id=item_id,
            title=title,
            categories=categories,
            attributes=own,
            available=not is_gone,
            created_at=None if math.isnan(instant) else instant,
        )
        for keep, (item_id, title, categories, own, is_gone, instant) in zip(verdict.good.tolist(), rows, strict=True)
        if keep
    ]
    return items, verdict.rejects()


def read_users(sheet: Sheet, since: float) -> tuple[list[UserChange], list[Reject]]:
    """Return the good rows as user changes told at *since*, in file order, and the refused rows.

    Raises InputError without a column user_id.
    """
    sheet.require("user_id")
    verdict = Verdict(sheet)
    ids = sheet.text("user_id")
    refuse_ids(verdict, user_id=ids)
    described = attributes(sheet, USER_COLUMNS)
    _refuse_holes(verdict, described)
    _refuse_repeats(verdict, "user_id", ids)
    rows = zip(verdict.good.tolist(), ids.to_pylist(), described, strict=True)
    users = [UserChange(at=since, user_id=user_id, attributes=own) for keep, user_id, own in rows if keep]
    return users, verdict.rejects()


def _refuse_holes(verdict: Verdict, described: Sequence[Attributes]) -> None:
    for name, rows in holed(described).items():
        verdict.refuse(f"{name} is a vector with a number that is missing or not finite", rows)


def _refuse_repeats(verdict: Verdict, name: str, ids: pa.Array) -> None:
    """Refuse good rows whose id a later good row repeats."""
    good = np.flatnonzero(verdict.good)
    last = np.zeros(len(ids), bool)
    last[
        list({one_id: place for place, one_id in zip(good.tolist(), ids.take(good).to_pylist(), strict=True)}.values())
    ] = 1
    verdict.refuse(f"repeated {name}: the last row counts", ~last)

"""Tables of items and users to changes: fields with a meaning, and all further columns as attributes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from slatewise.datasets.attributes import Values, attribute_values, lists, rows_of
from slatewise.datasets.columns import Parsed, as_text, flags, missing, times
from slatewise.datasets.mapping import unknown
from slatewise.datasets.table import Table, require
from slatewise.domain.events import AttributeValue, ItemChange, UserChange
from slatewise.domain.ids import Mask


def read_items(table: Table, at: float) -> list[ItemChange]:
    """Return the good rows as item changes that happen at *at*, in file order; the others become rejects."""
    table = _identified(table, "item_id")
    nothing = Parsed(np.full(len(table), np.nan), np.ones(len(table), bool), np.zeros(len(table), bool))
    available = flags(table.columns["available"]) if "available" in table.columns else nothing
    created = times(table.columns["created_at"]) if "created_at" in table.columns else nothing
    good = ~(available.bad | created.bad)
    table = table.refuse(
        [
            (available.bad, "available is neither true nor false"),
            (created.bad, "created_at is neither a number nor ISO-8601"),
        ]
    )
    size = len(table)
    titles = as_text(table.columns["title"]).to_pylist() if "title" in table.columns else [None] * size
    categories = lists(table.columns["categories"]) if "categories" in table.columns else [()] * size
    created_at = [value if value == value else None for value in created.values[good].tolist()]
    return [
        ItemChange(at=at, item_id=i, title=title, categories=c, attributes=attributes, available=shown, created_at=made)
        for i, title, c, attributes, shown, made in zip(
            as_text(table.columns["item_id"]).to_pylist(),
            titles,
            categories,
            _attributes("items", table),
            (available.values[good] != 0).tolist(),
            created_at,
            strict=True,
        )
    ]


def read_users(table: Table, at: float) -> list[UserChange]:
    """Return the good rows as user changes that happen at *at*, in file order; the others become rejects."""
    table = _identified(table, "user_id")
    ids = as_text(table.columns["user_id"]).to_pylist()
    return [
        UserChange(at=at, user_id=user_id, attributes=attributes)
        for user_id, attributes in zip(ids, _attributes("users", table), strict=True)
    ]


def _identified(table: Table, name: str) -> Table:
    require(table, (name,))
    table = table.refuse([(missing(as_text(table.columns[name])), f"{name} is missing")])
    return table.refuse([(_overruled(as_text(table.columns[name])), f"{name} appears again further down")])


def _overruled(ids: pa.Array) -> Mask:
    """Mark rows whose id has a later row: a change is the whole state, so only the last one counts."""
    texts = ids.to_pylist()
    last = {each: row for row, each in enumerate(texts)}
    return np.fromiter((last[each] != row for row, each in enumerate(texts)), bool, len(texts))


def _attributes(kind: str, table: Table) -> list[dict[str, AttributeValue]]:
    columns: dict[str, Values] = {name: attribute_values(table.columns[name]) for name in unknown(kind, table)}
    return rows_of(columns, len(table))

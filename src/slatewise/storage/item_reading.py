"""Statements that read the items from the log into a draft. Holds no connection."""

from __future__ import annotations

import sqlite3

from slatewise.domain.events import ItemChange
from slatewise.storage import reading, schema
from slatewise.storage.encoding import decode
from slatewise.storage.item_table import Draft

_IDS = "SELECT id, first FROM item_ids WHERE first < ? ORDER BY row"
_CHANGES = f"""
SELECT offset, kind, item, at, body FROM log
WHERE kind > {schema.INTERACTION} AND kind IN ({schema.ITEM_CHANGE}, {schema.ITEM_REMOVAL}) AND offset < ?
ORDER BY offset
"""
_NEWEST = f"""
SELECT max(offset) FROM log
WHERE kind > {schema.INTERACTION} AND kind IN ({schema.ITEM_CHANGE}, {schema.ITEM_REMOVAL}) AND offset < ?
GROUP BY item
"""


def fill(db: sqlite3.Connection, draft: Draft, ids: list[str]) -> int:
    """Write every item into an empty draft and its id into *ids*; return the version they reflect."""
    end = reading.end(db)
    found = db.execute(_IDS, (end,)).fetchall()
    ids.extend(id for id, _ in found)
    draft.add(found[-1][1] + 1 if found else 0, len(found))
    newest = {offset for (offset,) in db.execute(_NEWEST, (end,))}
    for offset, kind, item, at, body in db.execute(_CHANGES, (end,)):
        if kind == schema.ITEM_REMOVAL:
            draft.remove(item, offset + 1)
        elif offset in newest:
            change = decode(kind, body)
            if isinstance(change, ItemChange):
                draft.describe(item, change, offset + 1)
        else:
            draft.first_described(item, at)
    return end

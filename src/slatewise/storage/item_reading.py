"""Statements that read what the log says of items. Holds no connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterable, Sequence

from slatewise.domain.events import ItemChange, ItemRemoval
from slatewise.domain.facts import ItemFact, ItemFacts
from slatewise.storage import reading, schema
from slatewise.storage.encoding import decode

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


def read_items(db: sqlite3.Connection) -> ItemFacts:
    """Return what the log says of all items, as of its end."""
    end = reading.end(db)
    ids = db.execute(_IDS, (end,)).fetchall()
    newest = {offset for (offset,) in db.execute(_NEWEST, (end,))}
    return item_facts(end, ids, newest, db.execute(_CHANGES, (end,)))


def item_facts(
    end: int,
    ids: Sequence[tuple[str, int]],
    newest: Container[int],
    rows: Iterable[tuple[int, int, int, float, str]],
) -> ItemFacts:
    """Return what was read of all items: ``(id, first offset)`` by row, and ``(offset, kind, item, at, body)``.

    *newest* holds the offset of each item's last change or removal: the others' bodies are not looked at.
    """
    facts = [
        ItemFact(offset, item, at, _event(kind, body) if kind == schema.ITEM_REMOVAL or offset in newest else None)
        for offset, kind, item, at, body in rows
    ]
    return ItemFacts(end, [id for id, _ in ids], ids[-1][1] if ids else -1, facts)


def _event(kind: int, body: str) -> ItemChange | ItemRemoval | None:
    event = decode(kind, body)
    return event if isinstance(event, ItemChange | ItemRemoval) else None

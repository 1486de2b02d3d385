"""Statements that find and read every row of one user. For exports, not for requests. Holds no connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from slatewise.domain.facts import UserOffsets
from slatewise.storage import schema
from slatewise.storage.erasing import find_shown

_ROW = "SELECT row FROM user_ids WHERE id = ?"
_INTERACTIONS = f"SELECT offset FROM log WHERE kind = {schema.INTERACTION} AND user = ? ORDER BY offset"
_CHANGES = f"""
SELECT offset FROM log WHERE kind >= {schema.USER_CHANGE} AND user = ? AND kind = {schema.USER_CHANGE} ORDER BY offset
"""
_READ = """
SELECT i.id, a.name, l.at, l.value, l.event_id, l.request_id, l.body FROM log l
LEFT JOIN item_ids i ON i.row = l.item LEFT JOIN actions a ON a.code = l.action
WHERE l.offset IN (SELECT value FROM json_each(?)) ORDER BY l.offset
"""


def find_rows(db: sqlite3.Connection, user_id: str) -> UserOffsets | None:
    """Return where a user's events are; None for somebody the log knows nothing of."""
    found = db.execute(_ROW, (user_id,)).fetchone()
    if found is None:
        return None
    changes, interactions = _offsets(db, _CHANGES, found[0]), _offsets(db, _INTERACTIONS, found[0])
    return UserOffsets(changes, interactions, sorted(find_shown(db, user_id).offsets))


def read_rows(db: sqlite3.Connection, offsets: Sequence[int]) -> list[tuple[Any, ...]]:
    """Return item id, action, at, value, event_id, request_id and body by offset, in order; missing ones left out."""
    return db.execute(_READ, (msgspec.json.encode(offsets).decode(),)).fetchall()


def _offsets(db: sqlite3.Connection, statement: str, user: int) -> list[int]:
    return [offset for (offset,) in db.execute(statement, (user,))]

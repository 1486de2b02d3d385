"""Everything the log holds of one user, as JSON in parts: bounded memory, however much it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from slatewise.domain.errors import NotFound
from slatewise.storage import schema
from slatewise.storage.erasing import find_shown
from slatewise.storage.log import SqliteEventLog

PAGE = 500

_encode = msgspec.json.Encoder().encode

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


def export_user(log: SqliteEventLog, user_id: str) -> Iterator[bytes]:
    """Return the parts of one JSON object: ``user_id``, ``attributes`` as last told, and in the log's order
    ``changes``, ``interactions`` and ``impressions``.

    What is written meanwhile may be missing. Raises NotFound, at once, for somebody the log knows nothing of.
    """
    with log.borrow() as db:
        found = db.execute(_ROW, (user_id,)).fetchone()
        if found is None:
            raise NotFound(f"user {user_id!r} is not known")
        changes = _offsets(db, _CHANGES, found[0])
        interactions = _offsets(db, _INTERACTIONS, found[0])
        impressions = sorted(find_shown(db, user_id).offsets)
    return _parts(log, user_id, changes, interactions, impressions)


def _offsets(db: sqlite3.Connection, statement: str, user: int) -> list[int]:
    return [offset for (offset,) in db.execute(statement, (user,))]


def _parts(
    log: SqliteEventLog,
    user_id: str,
    changes: Sequence[int],
    interactions: Sequence[int],
    impressions: Sequence[int],
) -> Iterator[bytes]:
    told = [change["attributes"] for part in _read(log, changes[-1:]) for change in map(_change, part)]
    yield b'{"user_id":' + _encode(user_id) + b',"attributes":' + _encode(told[0] if told else {})
    for name, offsets, form in (
        ("changes", changes, _change),
        ("interactions", interactions, _interaction),
        ("impressions", impressions, _impression),
    ):
        yield b',"' + name.encode() + b'":['
        before = b""
        for part in _read(log, offsets):
            yield before + b",".join(_encode(form(row)) for row in part)
            before = b","
        yield b"]"
    yield b"}"


def _read(log: SqliteEventLog, offsets: Sequence[int]) -> Iterator[list[tuple[Any, ...]]]:
    for lo in range(0, len(offsets), PAGE):
        with log.borrow() as db:
            page = db.execute(_READ, (_encode(offsets[lo : lo + PAGE]).decode(),)).fetchall()
        if page:  # empty where the user was erased meanwhile
            yield page


def _change(row: tuple[Any, ...]) -> dict[str, Any]:
    body = msgspec.json.decode(row[6])
    return {"timestamp": body["at"], "attributes": body.get("attributes", {})}


def _interaction(row: tuple[Any, ...]) -> dict[str, Any]:
    item, action, at, value, event_id, request_id, _ = row
    return {
        "item_id": item,
        "action": action,
        "timestamp": at,
        "value": value,
        "event_id": event_id,
        "request_id": request_id,
    }


def _impression(row: tuple[Any, ...]) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(row[6])
    body["timestamp"] = body.pop("at")
    del body["user_id"]
    return body

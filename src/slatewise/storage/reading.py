"""Statements that read the log, and their rows as domain values. Holds no connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slatewise.domain.columns import Interactions
from slatewise.domain.errors import ConfigError, StorageError
from slatewise.domain.events import Impression, Interaction, Stored
from slatewise.storage import schema
from slatewise.storage.encoding import decode
from slatewise.storage.sums import row_sum

PAGE = 10_000
"""Rows read at once: bounds memory, and no read transaction lives while the reader works on a page."""

FOR_EVER = 2**62

_END = "SELECT seq FROM sqlite_sequence WHERE name = 'log'"
_PAGE = """
SELECT l.offset, l.kind, l.user, l.item, l.action, l.at, l.value, l.event_id, l.request_id, l.body, l.sum, u.id, i.id
FROM log l LEFT JOIN user_ids u ON u.row = l.user LEFT JOIN item_ids i ON i.row = l.item
WHERE l.offset >= ? AND l.offset < ? ORDER BY l.offset LIMIT ?
"""
_PAGE_UNSHOWN = _PAGE.replace("WHERE", f"WHERE l.kind <> {schema.IMPRESSION} AND")
_INTERACTIONS = f"""
SELECT offset, user, item, action, at, value FROM log
WHERE offset >= ? AND offset < ? AND kind = {schema.INTERACTION} ORDER BY offset
"""
_FORGOTTEN = f"""
SELECT user, max(offset) FROM log
WHERE kind > {schema.INTERACTION} AND kind = {schema.USER_REMOVAL} GROUP BY user
"""
_IMPRESSIONS = f"""
SELECT offset, user, body FROM log
WHERE kind > {schema.INTERACTION} AND kind = {schema.IMPRESSION} AND offset >= ? AND offset < ?
ORDER BY offset LIMIT ?
"""
_REQUESTS = f"""
SELECT request_id, item, action, user, offset FROM log
WHERE kind = {schema.INTERACTION} AND request_id IS NOT NULL ORDER BY offset
"""


def end(db: sqlite3.Connection) -> int:
    """Return the offset after the last committed event, 0 where there is none."""
    found = db.execute(_END).fetchone()
    return int(found[0]) + 1 if found else 0


def action_indexes(db: sqlite3.Connection, declared: Sequence[str]) -> list[int]:
    """Return, per action code of the log, its index among the *declared* names.

    Raises ConfigError naming an action of the log that is not declared.
    """
    return indexes_of((name for (name,) in db.execute("SELECT name FROM actions ORDER BY code")), declared)


def indexes_of(names: Iterable[str], declared: Sequence[str]) -> list[int]:
    """Return the index of each name among the *declared* ones. Raises ConfigError naming one that is not declared."""
    indexes = []
    for name in names:
        if name not in declared:
            raise ConfigError(
                f"the event log holds the action {name!r}, which the settings do not declare "
                f"(they declare {', '.join(declared)}); add it under actions"
            )
        indexes.append(declared.index(name))
    return indexes


def page(db: sqlite3.Connection, start: int, stop: int | None, *, impressions: bool = True) -> list[tuple[Any, ...]]:
    """Return up to `PAGE` rows for `stored`, oldest first, all or all but impressions."""
    return db.execute(
        _PAGE if impressions else _PAGE_UNSHOWN, (start, FOR_EVER if stop is None else stop, PAGE)
    ).fetchall()


def stored(row: tuple[Any, ...], actions: Sequence[int], declared: Sequence[str], file: Path | str) -> Stored:
    """Return one row of `page` as an event. Raises StorageError for a row that is not as it was written."""
    offset, kind, user, item, action, at, value, event_id, request_id, body, summed, user_id, item_id = row
    if summed is not None and summed != row_sum(row[:10]):
        raise StorageError(f"{file}: event {offset} is not as it was written (checksum); {schema.REPAIR}")
    if kind == schema.INTERACTION:
        event = Interaction(
            user_id=user_id,
            item_id=item_id,
            action=declared[actions[action]],
            at=at,
            value=value,
            event_id=event_id,
            request_id=request_id,
        )
        return Stored(offset, event, user, item)
    return Stored(offset, decode(kind, body), -1 if user is None else user, -1 if item is None else item)


def forgotten(db: sqlite3.Connection) -> dict[int, int]:
    """Return, by user row, the offset of the last removal: everything of that user before it is hidden."""
    return dict(db.execute(_FORGOTTEN))


def interaction_table(db: sqlite3.Connection, start: int, stop: int | None) -> npt.NDArray[np.float64]:
    """Return interactions of users not forgotten: columns offset, user, item, action code, at, value; shape ``(n, 6)``.

    float64 holds offsets and rows exactly up to 2^53.
    """
    cursor = db.execute(_INTERACTIONS, (start, FOR_EVER if stop is None else stop))
    parts = [np.empty((0, 6))]
    while rows := cursor.fetchmany(50_000):
        parts.append(np.array(rows, np.float64))
    return not_forgotten(np.concatenate(parts), forgotten(db))


def not_forgotten(table: npt.NDArray[np.float64], removals: Mapping[int, int]) -> npt.NDArray[np.float64]:
    """Return the rows of an interaction table that no user's removal hides; *removals* as from `forgotten`."""
    if not removals or not len(table):
        return table
    user = table[:, 1].astype(np.int64)
    hidden_before = np.zeros(max(int(user.max()), max(removals)) + 1)
    hidden_before[list(removals)] = list(removals.values())
    return table[table[:, 0] > hidden_before[user]]


def interactions(table: npt.NDArray[np.float64], actions: Sequence[int]) -> Interactions:
    """Return the rows of `interaction_table` as columns, with actions by the settings' index."""
    code = table[:, 3].astype(np.int64)
    return Interactions(
        offset=table[:, 0].astype(np.int64),
        user=table[:, 1].astype(np.int64),
        item=table[:, 2].astype(np.int64),
        action=np.asarray(actions, np.int64)[code] if len(code) else code,
        at=table[:, 4].copy(),
        value=table[:, 5].astype(np.float32),
    )


def impression_page(db: sqlite3.Connection, start: int, stop: int | None) -> list[tuple[int, Impression | None]]:
    """Return up to `PAGE` ``(offset, impression)``, None in place of one of a forgotten user."""
    rows = db.execute(_IMPRESSIONS, (start, FOR_EVER if stop is None else stop, PAGE)).fetchall()
    return impressions_of(rows, forgotten(db))


def impressions_of(
    rows: Sequence[tuple[int, int | None, str]], removals: Mapping[int, int]
) -> list[tuple[int, Impression | None]]:
    """Return ``(offset, user, body)`` as ``(offset, impression)``, None in place of one that a removal hides."""
    shown: list[tuple[int, Impression | None]] = []
    for offset, user, body in rows:
        hidden = user is not None and removals.get(user, 0) >= offset
        event = None if hidden else decode(schema.IMPRESSION, body)
        shown.append((offset, event if isinstance(event, Impression) else None))
    return shown


def named_requests(db: sqlite3.Connection) -> list[tuple[str, int, int]]:
    """Return ``(request_id, item row, action code)`` of each interaction that names a request, in log order."""
    rows = db.execute(_REQUESTS).fetchall()
    removals = forgotten(db)
    return [(request, item, code) for request, item, code, user, offset in rows if removals.get(user, 0) < offset]

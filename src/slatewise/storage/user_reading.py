"""Statements that read one user from the log, as of a version. Holds no connection and no cache."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from slatewise.domain.events import UserChange
from slatewise.domain.facts import UserFacts
from slatewise.domain.history import EMPTY_HISTORY, History
from slatewise.storage import schema
from slatewise.storage.encoding import decode
from slatewise.storage.reading import forgotten

_ROW = "SELECT row FROM user_ids WHERE id = ? AND first < ?"
_REMOVED = f"""
SELECT ifnull(max(offset), 0) FROM log
WHERE kind >= {schema.USER_CHANGE} AND user = ? AND kind = {schema.USER_REMOVAL} AND offset < ?
"""
_CHANGE = f"""
SELECT offset, body FROM log
WHERE kind >= {schema.USER_CHANGE} AND user = ? AND kind = {schema.USER_CHANGE} AND offset > ? AND offset < ?
ORDER BY offset DESC LIMIT 1
"""
_HISTORY = f"""
SELECT item, action, at, offset FROM log
WHERE kind = {schema.INTERACTION} AND user = ? AND offset > ? AND offset < ? ORDER BY at, offset
"""
_CHANGES = f"""
SELECT user, offset, body FROM log
WHERE kind > {schema.INTERACTION} AND kind = {schema.USER_CHANGE} AND offset < ? ORDER BY offset
"""


def read_user(db: sqlite3.Connection, user_id: str, before: int, actions: Sequence[int]) -> UserFacts | None:
    """Return the user as of the events with offset < *before*; None where none names the user.

    *actions* maps the log's action codes to the settings' indexes.
    """
    found = db.execute(_ROW, (user_id, before)).fetchone()
    if found is None:
        return None
    user = int(found[0])
    removed = int(db.execute(_REMOVED, (user, before)).fetchone()[0])
    told = db.execute(_CHANGE, (user, removed, before)).fetchone()
    rows = db.execute(_HISTORY, (user, removed, before)).fetchall()
    table = np.array(rows, np.float64).reshape(-1, 4)
    return user_facts(user, removed, told, table, actions)


def user_facts(
    user: int,
    removed: int,
    told: tuple[int, str] | None,
    table: npt.NDArray[np.float64],
    actions: Sequence[int],
) -> UserFacts:
    """Return what was read of one user: the last removal, the change told since, and the interactions since.

    *table* has the columns item, action code, at and offset, in order of time; shape ``(n, 4)``.
    """
    change = decode(schema.USER_CHANGE, told[1]) if told else None
    last = max(removed, told[0] if told else 0)
    history = EMPTY_HISTORY
    if len(table):
        last = max(last, int(table[:, 3].max()))
        history = History(
            row=table[:, 0].astype(np.int64),
            action=np.asarray(actions, np.int64)[table[:, 1].astype(np.int64)],
            at=table[:, 2].copy(),
        )
    since = removed + 1 if removed else 0
    return UserFacts(user, last, since, change if isinstance(change, UserChange) else None, history)


def read_attributes(db: sqlite3.Connection, before: int) -> dict[int, UserChange]:
    """Return by user row the last change of every described user not forgotten, as of *before*."""
    return last_changes(db.execute(_CHANGES, (before,)), forgotten(db))


def last_changes(rows: Iterable[tuple[int, int, str]], removals: Mapping[int, int]) -> dict[int, UserChange]:
    """Return by user row the last of the changes ``(user, offset, body)``, in log order, that no removal hides."""
    newest = {user: (offset, body) for user, offset, body in rows}
    changes: dict[int, UserChange] = {}
    for user, (offset, body) in newest.items():
        change = decode(schema.USER_CHANGE, body) if offset > removals.get(user, 0) else None
        if isinstance(change, UserChange):
            changes[user] = change
    return changes

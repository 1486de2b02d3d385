"""Statements that read one user from the log, as of a version. Holds no connection and no cache."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from slatewise.domain.events import UserChange
from slatewise.domain.history import EMPTY_HISTORY, History
from slatewise.domain.query import ANONYMOUS, UserState
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


@dataclass(frozen=True, slots=True)
class KnownUser:
    """All that is kept of one user. ``change`` is None where nobody described them."""

    state: UserState
    change: UserChange | None


NOBODY = KnownUser(ANONYMOUS, None)


def read_user(
    db: sqlite3.Connection,
    user_id: str,
    before: int,
    actions: Sequence[int],
    seen_actions: Iterable[int],
    history_length: int,
) -> KnownUser:
    """Return the user as folded from the events with offset < *before*; `NOBODY` where none names the user.

    *actions* maps the log's action codes to the settings' indexes.
    """
    found = db.execute(_ROW, (user_id, before)).fetchone()
    if found is None:
        return NOBODY
    user = int(found[0])
    removed = int(db.execute(_REMOVED, (user, before)).fetchone()[0])
    told = db.execute(_CHANGE, (user, removed, before)).fetchone()
    change = decode(schema.USER_CHANGE, told[1]) if told else None
    change = change if isinstance(change, UserChange) else None
    rows = db.execute(_HISTORY, (user, removed, before)).fetchall()
    last = max(removed, told[0] if told else 0)
    history, seen = EMPTY_HISTORY, EMPTY_HISTORY.row
    if rows:
        table = np.array(rows, np.float64)
        last = max(last, int(table[:, 3].max()))
        whole = History(
            row=table[:, 0].astype(np.int64),
            action=np.asarray(actions, np.int64)[table[:, 1].astype(np.int64)],
            at=table[:, 2].copy(),
        )
        history = whole.last(history_length)
        seen = np.unique(whole.row[np.isin(whole.action, list(seen_actions))])
    return KnownUser(
        UserState(
            row=user,
            version=last + 1 if last else 0,
            history=history,
            seen=seen,
            attributes=change.attributes if change else {},
            since=removed + 1 if removed else 0,
        ),
        change,
    )


def read_attributes(db: sqlite3.Connection, before: int) -> dict[int, UserChange]:
    """Return by user row the last change of every described user not forgotten, as of *before*."""
    removals = forgotten(db)
    newest = {user: (offset, body) for user, offset, body in db.execute(_CHANGES, (before,))}
    changes: dict[int, UserChange] = {}
    for user, (offset, body) in newest.items():
        change = decode(schema.USER_CHANGE, body) if offset > removals.get(user, 0) else None
        if isinstance(change, UserChange):
            changes[user] = change
    return changes

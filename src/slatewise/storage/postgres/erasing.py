"""Takes one user out of the log's tables, in one transaction. What stays and why: `slatewise.storage.erasing`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slatewise.domain.erasure import Erased
from slatewise.domain.events import UserRemoval
from slatewise.storage.encoding import encode
from slatewise.storage.erasing import new_placeholder
from slatewise.storage.postgres.writer import BEGIN, LOCK
from slatewise.storage.schema import IMPRESSION, INTERACTION, USER_REMOVAL

if TYPE_CHECKING:
    from psycopg import Connection

_ROW = "SELECT row FROM {s}.user_ids WHERE id = %s"
_COUNTS = f"""
SELECT count(*) FILTER (WHERE kind = {INTERACTION}), count(*) FILTER (WHERE kind = {IMPRESSION}),
    count(*) FILTER (WHERE kind > {IMPRESSION})
FROM {{s}}.log WHERE user_row = %s
"""
_NAMING = "(SELECT i.first FROM {s}.item_ids i WHERE i.row = l.item_row)"
_DELETE = f"DELETE FROM {{s}}.log l WHERE user_row = %s AND (kind <> {INTERACTION} OR place IS DISTINCT FROM {_NAMING})"
_BLANK = (
    "UPDATE {s}.log SET at = NULL, value = 1.0, event_id = NULL, request_id = NULL, token = NULL WHERE user_row = %s"
)
_RENAME = "UPDATE {s}.user_ids SET id = %s WHERE row = %s"
_REMOVAL = f"INSERT INTO {{s}}.log(place, kind, user_row, at, body) VALUES (%s, {USER_REMOVAL}, %s, %s, %s)"
_HEAD = "UPDATE {s}.head SET place = %s, erased = erased + 1"


def erase(db: Connection, schema: str, user_id: str, at: float) -> Erased | None:
    """Erase the user, at the instant *at*; None where the log does not know the id. Raises psycopg's errors."""

    def say(statement: str, *values: object) -> tuple[int, ...]:
        done = db.execute(statement.format(s=schema), values)
        return done.fetchone() or () if done.description else ()

    db.execute(BEGIN)
    try:
        (place, *_) = say(LOCK)
        found = say(_ROW, user_id)
        if not found:
            db.execute("ROLLBACK")
            return None
        (user,) = found
        counts = say(_COUNTS, user)
        say(_DELETE, user)
        say(_BLANK, user)
        placeholder = new_placeholder(user)
        say(_RENAME, placeholder, user)
        (removal,) = encode([UserRemoval(at=at, user_id=placeholder)], ())
        say(_REMOVAL, place + 1, user, removal.at, removal.body)
        say(_HEAD, place + 1)
        db.execute("COMMIT")
    except BaseException:
        if not db.closed and not db.broken:
            db.execute("ROLLBACK")
        raise
    interactions, impressions, changes = counts
    return Erased(interactions, impressions, changes, place + 2)


def vacuum(db: Connection, schema: str) -> None:
    """Clear rows that were deleted out of tables and indexes. Waits for nobody and stops nobody."""
    db.execute(f"VACUUM (INDEX_CLEANUP ON) {schema}.log, {schema}.user_ids")

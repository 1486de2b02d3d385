"""One group of appends as one transaction in PostgreSQL; and, where the connection broke, what became of it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slatewise.domain.errors import Conflict, ReadOnly, StorageError, StorageFull, StorageLost
from slatewise.domain.events import Receipt
from slatewise.postgres.pool import Pool, is_lost, is_refused
from slatewise.storage.group_commit import Batch, Failed
from slatewise.storage.known import Said, without
from slatewise.storage.row_giver import RowGiver, numbered

if TYPE_CHECKING:
    from psycopg import Connection

COPIED_FROM = 500
"""Rows from which COPY is worth its two further round trips."""
SETTLE_S = 5.0
"""How long the server is called again, after it went away in a commit, before the outcome is given up as unknown."""
PAUSE_S = 0.1

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
# The server's default may be less than durable, so each transaction says it; remote_apply is more, and left.
LOCK = """
SELECT place, users, items, erased, current_setting('fsync'), set_config('synchronous_commit',
    CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true),
    set_config('lock_timeout', '10s', true), set_config('idle_in_transaction_session_timeout', '30s', true)
FROM {s}.head FOR UPDATE
"""
_KNOWN = """
SELECT l.event_id, u.id, i.id, a.name, l.value FROM {s}.log l
LEFT JOIN {s}.user_ids u ON u.row = l.user_row LEFT JOIN {s}.item_ids i ON i.row = l.item_row
LEFT JOIN {s}.actions a ON a.code = l.action
WHERE l.event_id IS NOT NULL AND l.event_id = ANY(%s::text[])
"""
_IDS = "SELECT id, row FROM {s}.{table} WHERE id = ANY(%s::text[])"
_ACTIONS = "SELECT name, code FROM {s}.actions"
_GIVE = "INSERT INTO {s}.{table}(row, id, first) SELECT * FROM unnest(%s::bigint[], %s::text[], %s::bigint[])"
_NAME = "INSERT INTO {s}.actions(name, code) VALUES (%s, %s)"
_TYPES = ("int8", "int2", "int8", "int8", "int8", "float8", "float8", "text", "text", "text", "int8")
_INSERT = "INSERT INTO {s}.log SELECT * FROM unnest(" + ", ".join(f"%s::{kind}[]" for kind in _TYPES) + ")"
_COPY = "COPY {s}.log FROM STDIN (FORMAT binary)"
_HEAD = "UPDATE {s}.head SET place = %s, users = users + %s, items = items + %s"
_WHOSE = "SELECT token FROM {s}.log WHERE place = %s"


def _kind(error: Exception) -> type[StorageError]:
    from psycopg.errors import DiskFull, ReadOnlySqlTransaction

    if isinstance(error, DiskFull):
        return StorageFull
    if isinstance(error, ReadOnlySqlTransaction):
        return ReadOnly
    return StorageLost if is_lost(error) else StorageError


@dataclass(slots=True)
class _Attempt:
    """What one transaction did, as far as it got."""

    answers: list[Receipt | Conflict] = field(default_factory=list)
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    actions: list[tuple[str, int]] = field(default_factory=list)
    token: int = field(default_factory=lambda: secrets.randbits(63))
    sent: bool = False
    """Whether the server may have been told to commit."""


class PostgresTransaction:
    """Writes groups on a connection of its own. Used by one thread only.

    A lost connection is replaced and the group written again, unless the server has it: the last row of each group
    carries a random token, and whoever holds the lock on `head` knows that no commit is under way.
    """

    def __init__(self, pool: Pool, schema: str) -> None:
        self._pool = pool
        self._schema = schema
        self._db: Connection | None = None
        self._users = RowGiver()
        self._items = RowGiver()
        self._actions: dict[str, int] = {}
        self._erased = 0
        self.refused: Failed | None = None
        """Why the last group was not stored; None where it was."""

    def write(self, group: Sequence[Batch]) -> Sequence[Receipt | Conflict]:
        import psycopg

        try:
            answers = self._write_surely(group)
        except psycopg.Error as error:
            self.refused = Failed(f"nothing was stored: {self._pool.worded(error)}", _kind(error))
        except Failed as failed:
            self.refused = failed
        else:
            self.refused = None
            return answers
        self._drop()
        raise self.refused

    def close(self) -> None:
        self._drop()

    def _drop(self) -> None:
        """Let go of the connection: the server rolls back what it has not committed."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _write_surely(self, group: Sequence[Batch]) -> Sequence[Receipt | Conflict]:
        """Write, and once more where the connection broke before anything was stored. Raises like `_write`."""
        import psycopg

        for may_repeat in (True, False):
            attempt = _Attempt()
            try:
                return self._write(group, attempt)
            except psycopg.Error as error:
                # Not by the connection's state: one that broke inside a pipeline does not know it yet.
                if is_refused(error):
                    raise
                self._drop()
                if attempt.sent and self._was_stored(attempt, error):
                    return attempt.answers
                if not may_repeat:
                    raise
        raise AssertionError

    def _was_stored(self, attempt: _Attempt, lost: Exception) -> bool:
        """Ask the server, as soon as it answers, whether the commit that nobody answered took place."""
        import psycopg

        until = time.monotonic() + SETTLE_S
        while True:
            try:
                db = self._db = self._pool.connect()
                with db.pipeline():
                    db.execute(BEGIN)
                    head = db.execute(self._said(LOCK))
                    whose = db.execute(self._said(_WHOSE), (attempt.rows[-1][0],))
                    db.execute("ROLLBACK")
                if whose.fetchone() == (attempt.token,):
                    return True
                # The row that would tell may have been erased since, with all of its user's.
                now = head.fetchone()
                if now is None or (now[0] >= attempt.rows[-1][0] and now[3] != self._erased):
                    raise self._unknown(lost)
                return False
            except psycopg.Error as error:
                self._drop()
                if time.monotonic() > until:
                    raise self._unknown(lost) from error
            time.sleep(PAUSE_S)

    def _unknown(self, lost: Exception) -> Failed:
        return Failed(
            f"it is not known whether this was stored: {self._pool.worded(lost)}; "
            "send it again, an event with an event_id counts once"
        )

    def _said(self, statement: str, table: str = "") -> str:
        return statement.format(s=self._schema, table=table)

    def _write(self, group: Sequence[Batch], attempt: _Attempt) -> Sequence[Receipt | Conflict]:
        committed = False
        try:
            db = self._db = self._db or self._pool.connect()
            self._gather(db, group, attempt)
            self._store(db, attempt)
            committed = True
        finally:
            self._users.settle(committed=committed)
            self._items.settle(committed=committed)
            if not committed:
                self._actions.clear()
        return attempt.answers

    def _gather(self, db: Connection, group: Sequence[Batch], attempt: _Attempt) -> None:
        """Begin, ask in one round trip for all that the group needs, and number what is new."""
        everything = [event for batch in group for event in batch]
        users = self._users.missing(event.user_id for event in everything)
        items = self._items.missing(event.item_id for event in everything)
        named = list({event.event_id for event in everything if event.event_id is not None})
        with db.pipeline():
            db.execute(BEGIN)
            # Before all else, and in a statement of its own: what later ones see includes whom we waited for.
            head = db.execute(self._said(LOCK))
            known = db.execute(self._said(_KNOWN), (named,)) if named else None
            user_rows = db.execute(self._said(_IDS, table="user_ids"), (users,)) if users else None
            item_rows = db.execute(self._said(_IDS, table="item_ids"), (items,)) if items else None
            strange = {event.action for event in everything if event.action is not None} - self._actions.keys()
            actions = db.execute(self._said(_ACTIONS)) if strange else None
        found = head.fetchone()
        if found is None:
            raise Failed(f"nothing was stored: {self._pool.shown} holds no head of the event log")
        place, next_user, next_item, erased, synced = found[:5]
        if synced != "on":
            raise Failed(f"nothing was stored: fsync is {synced} on the server, so nothing there survives a power cut")
        if erased != self._erased:
            self._erased = erased
            self._users.forget()
            users = self._users.missing(event.user_id for event in everything)
            user_rows = db.execute(self._said(_IDS, table="user_ids"), (users,)) if users else None
        self._users.learn(user_rows.fetchall() if user_rows else (), lambda: int(next_user))
        self._items.learn(item_rows.fetchall() if item_rows else (), lambda: int(next_item))
        if actions:
            self._actions = dict(actions.fetchall())
        held: dict[str, Said] = {row[0]: row[1:] for row in known} if known else {}
        for batch in group:
            attempt.answers.append(self._number(batch, held, int(place), attempt))

    def _number(self, batch: Batch, held: dict[str, Said], place: int, attempt: _Attempt) -> Receipt | Conflict:
        try:
            fresh = without(batch, held)
        except Conflict as conflict:
            return conflict
        for event in fresh:
            if event.action is not None and event.action not in self._actions:
                attempt.actions.append((event.action, len(self._actions)))
                self._actions[event.action] = len(self._actions)
        last = place + len(attempt.rows)
        attempt.rows += numbered(fresh, last, self._users, self._items, self._actions)
        last += len(fresh)
        return Receipt(accepted=len(fresh), duplicates=len(batch) - len(fresh), version=last + 1 if last else 0)

    def _store(self, db: Connection, attempt: _Attempt) -> None:
        """Write what was numbered and commit, in one round trip where it is little."""
        if not attempt.rows:
            db.execute("ROLLBACK")
            return
        rows = [(*row, None) for row in attempt.rows]
        rows[-1] = (*rows[-1][:-1], attempt.token)
        copied = len(rows) >= COPIED_FROM
        if copied:
            with db.cursor() as cursor, cursor.copy(self._said(_COPY)) as copy:
                copy.set_types(_TYPES)
                for row in rows:
                    copy.write_row(row)
        users, items = self._users.take_given(), self._items.take_given()
        attempt.sent = True
        with db.pipeline():
            for table, given in (("user_ids", users), ("item_ids", items)):
                if given:
                    db.execute(self._said(_GIVE, table=table), [list(column) for column in zip(*given, strict=True)])
            for action in attempt.actions:
                db.execute(self._said(_NAME), action)
            if not copied:
                db.execute(self._said(_INSERT), [list(column) for column in zip(*rows, strict=True)])
            db.execute(self._said(_HEAD), (rows[-1][0], len(users), len(items)))
            done = db.execute("COMMIT")
        if done.statusmessage != "COMMIT":
            raise Failed(f"nothing was stored: the server answered {done.statusmessage}")

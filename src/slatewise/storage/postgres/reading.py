"""Statements that read the log in PostgreSQL. Holds no connection; rows become domain values where SQLite's do."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slatewise.domain.errors import StorageError
from slatewise.domain.events import Impression, UserChange
from slatewise.domain.facts import ItemFacts, UserFacts, UserOffsets
from slatewise.domain.ids import Rows
from slatewise.storage import reading, user_reading
from slatewise.storage.item_reading import item_facts
from slatewise.storage.reading import FOR_EVER, PAGE
from slatewise.storage.schema import IMPRESSION, INTERACTION, ITEM_CHANGE, ITEM_REMOVAL, USER_CHANGE, USER_REMOVAL

if TYPE_CHECKING:
    from psycopg import Connection, Cursor

COLUMNS_PAGE = 100_000
"""Interactions read at once for columns; each page is six numbers a row."""

_END = "SELECT place FROM {s}.head"
_ACTIONS = "SELECT name FROM {s}.actions ORDER BY code"
# The last column but two is the row's checksum in SQLite: here the server checks its pages.
_PAGE = """
SELECT l.place, l.kind, l.user_row, l.item_row, l.action, l.at, l.value, l.event_id, l.request_id, l.body, NULL,
    u.id, i.id
FROM {s}.log l LEFT JOIN {s}.user_ids u ON u.row = l.user_row LEFT JOIN {s}.item_ids i ON i.row = l.item_row
WHERE l.place >= %s AND l.place < %s ORDER BY l.place LIMIT %s
"""
_PAGE_UNSHOWN = _PAGE.replace("WHERE", f"WHERE l.kind <> {IMPRESSION} AND")
_INTERACTIONS = f"""
SELECT place, user_row, item_row, action, at, value FROM {{s}}.log
WHERE place >= %s AND place < %s AND kind = {INTERACTION} ORDER BY place LIMIT %s
"""
_FORGOTTEN = f"""
SELECT user_row, max(place) FROM {{s}}.log WHERE kind > {INTERACTION} AND kind = {USER_REMOVAL} GROUP BY user_row
"""
_IMPRESSIONS = f"""
SELECT place, user_row, body FROM {{s}}.log
WHERE kind > {INTERACTION} AND kind = {IMPRESSION} AND place >= %s AND place < %s ORDER BY place LIMIT %s
"""
_REQUESTS = f"""
SELECT request_id, item_row, action, user_row, place FROM {{s}}.log
WHERE kind = {INTERACTION} AND request_id IS NOT NULL ORDER BY place
"""
_USER = f"""
WITH found AS (SELECT row FROM {{s}}.user_ids WHERE id = %(id)s AND first < %(before)s),
removed AS (
    SELECT coalesce(max(place), 0) AS place FROM {{s}}.log
    WHERE kind >= {USER_CHANGE} AND kind = {USER_REMOVAL} AND user_row = (SELECT row FROM found) AND place < %(before)s
)
SELECT found.row, removed.place, told.place, told.body, steps.item_row, steps.action, steps.at, steps.place, names.names
FROM found CROSS JOIN removed
LEFT JOIN LATERAL (
    SELECT place, body FROM {{s}}.log
    WHERE kind >= {USER_CHANGE} AND kind = {USER_CHANGE} AND user_row = found.row
    AND place > removed.place AND place < %(before)s
    ORDER BY place DESC LIMIT 1
) told ON true
CROSS JOIN LATERAL (
    SELECT array_agg(item_row) item_row, array_agg(action) action, array_agg(at) at, array_agg(place) place FROM (
        SELECT item_row, action, at, place FROM {{s}}.log
        WHERE kind = {INTERACTION} AND user_row = found.row AND place > removed.place AND place < %(before)s
        ORDER BY at NULLS FIRST, place
    ) ordered
) steps
CROSS JOIN (SELECT array_agg(name ORDER BY code) FROM {{s}}.actions) names(names)
"""
# Aggregates take their input in the order of the subquery: one sort, or none, since the index has that order.
_USER_CHANGES = f"""
SELECT user_row, place, body FROM {{s}}.log
WHERE kind > {INTERACTION} AND kind = {USER_CHANGE} AND place < %s ORDER BY place
"""
_USERS = "SELECT row, id FROM {s}.user_ids WHERE row > %s ORDER BY row LIMIT %s"
_OF_USER = "SELECT place, kind FROM {s}.log WHERE user_row = %s ORDER BY place"
_AT = """
SELECT i.id, a.name, l.at, l.value, l.event_id, l.request_id, l.body FROM {s}.log l
LEFT JOIN {s}.item_ids i ON i.row = l.item_row LEFT JOIN {s}.actions a ON a.code = l.action
WHERE l.place = ANY(%s::bigint[]) ORDER BY l.place
"""
_IDS = "SELECT row, id FROM {s}.user_ids WHERE row = ANY(%s::bigint[])"
_ROWS = "SELECT id, row FROM {s}.user_ids WHERE id = ANY(%s::text[])"
_ITEM_IDS = "SELECT id, first FROM {s}.item_ids WHERE first < %s ORDER BY row"
_ITEM_CHANGES = f"""
SELECT place, kind, item_row, at, body FROM {{s}}.log
WHERE kind > {INTERACTION} AND kind IN ({ITEM_CHANGE}, {ITEM_REMOVAL}) AND place < %s ORDER BY place
"""
_NEWEST_ITEM_CHANGES = f"""
SELECT max(place) FROM {{s}}.log
WHERE kind > {INTERACTION} AND kind IN ({ITEM_CHANGE}, {ITEM_REMOVAL}) AND place < %s GROUP BY item_row
"""


class Reading:
    """What can be asked of the log in one schema. Every method takes the connection to ask on."""

    def __init__(self, schema: str) -> None:
        self._schema = schema

    def end(self, db: Connection) -> int:
        """Return the offset after the last committed event, 0 where there is none."""
        found = self._ask(db, _END).fetchone()
        if found is None:
            raise StorageError(f"schema {self._schema} holds no head of the event log: restore a dump of it")
        return int(found[0]) + 1 if found[0] else 0

    def action_indexes(self, db: Connection, declared: Sequence[str]) -> list[int]:
        """Return, per action code of the log, its index among the *declared* names. Raises ConfigError."""
        return reading.indexes_of((name for (name,) in self._ask(db, _ACTIONS)), declared)

    def page(self, db: Connection, start: int, stop: int | None, *, impressions: bool) -> list[tuple[Any, ...]]:
        """Return up to `PAGE` rows for `reading.stored`, oldest first, all or all but impressions."""
        return self._ask(db, _PAGE if impressions else _PAGE_UNSHOWN, (start, _until(stop), PAGE)).fetchall()

    def interaction_table(self, db: Connection, start: int, stop: int | None) -> npt.NDArray[np.float64]:
        """Return the interactions of users not forgotten, as `reading.interaction_table` does."""
        parts = [np.empty((0, 6))]
        while rows := self._ask(db, _INTERACTIONS, (start, _until(stop), COLUMNS_PAGE)).fetchall():
            parts.append(np.array(rows, np.float64))
            start = rows[-1][0] + 1
            if len(rows) < COLUMNS_PAGE:
                break
        return reading.not_forgotten(np.concatenate(parts), self.forgotten(db))

    def forgotten(self, db: Connection) -> dict[int, int]:
        """Return, by user row, the offset of the last removal: everything of that user before it is hidden."""
        return dict(self._ask(db, _FORGOTTEN).fetchall())

    def impression_page(self, db: Connection, start: int, stop: int | None) -> list[tuple[int, Impression | None]]:
        """Return up to `PAGE` ``(offset, impression)``, None in place of one of a forgotten user."""
        rows = self._ask(db, _IMPRESSIONS, (start, _until(stop), PAGE)).fetchall()
        return reading.impressions_of(rows, self.forgotten(db))

    def named_requests(self, db: Connection) -> list[tuple[str, int, int]]:
        """Return ``(request_id, item row, action code)`` of each interaction that names a request, in log order."""
        rows = self._ask(db, _REQUESTS).fetchall()
        removals = self.forgotten(db)
        return [(request, item, code) for request, item, code, user, place in rows if removals.get(user, 0) < place]

    def user(self, db: Connection, user_id: str, before: int, declared: Sequence[str]) -> UserFacts | None:
        """Return the user as of version *before*, None where no event below it names them."""
        found = self._ask(db, _USER, {"id": user_id, "before": before}).fetchone()
        if found is None:
            return None
        row, removed, told, body, *steps, names = found
        table = np.array([column or () for column in steps], np.float64).T
        indexes = reading.indexes_of(names or (), declared)
        return user_reading.user_facts(row, removed, None if told is None else (told, body), table, indexes)

    def user_changes(self, db: Connection, before: int) -> dict[int, UserChange]:
        """Return by user row the last change of every described user not forgotten, as of *before*."""
        rows = self._ask(db, _USER_CHANGES, (before,)).fetchall()
        return user_reading.last_changes(rows, self.forgotten(db))

    def user_ids(self, db: Connection, rows: Rows) -> list[str]:
        """Return the id in each row, empty where no user has it."""
        wanted = rows.tolist()
        found = dict(self._ask(db, _IDS, (wanted,)).fetchall())
        return [found.get(row, "") for row in wanted]

    def user_rows(self, db: Connection, ids: Collection[str]) -> dict[str, int]:
        """Return the row of every id that has one."""
        return dict(self._ask(db, _ROWS, ([*ids],)).fetchall())

    def user_page(self, db: Connection, after: int) -> list[tuple[int, str]]:
        """Return up to `COLUMNS_PAGE` ``(row, id)`` behind the row *after*, in order of rows."""
        return self._ask(db, _USERS, (after, COLUMNS_PAGE)).fetchall()

    def user_offsets(self, db: Connection, user_id: str) -> UserOffsets | None:
        """Return where a user's events are; None for somebody the log knows nothing of."""
        found = self._ask(db, "SELECT row FROM {s}.user_ids WHERE id = %s", (user_id,)).fetchone()
        if found is None:
            return None
        rows = self._ask(db, _OF_USER, (found[0],)).fetchall()
        by_kind = {k: [place for place, kind in rows if kind == k] for k in (USER_CHANGE, INTERACTION, IMPRESSION)}
        return UserOffsets(by_kind[USER_CHANGE], by_kind[INTERACTION], by_kind[IMPRESSION])

    def rows_at(self, db: Connection, offsets: Sequence[int]) -> list[tuple[Any, ...]]:
        """Return item id, action, at, value, event_id, request_id and body by offset; missing ones are left out."""
        return self._ask(db, _AT, ([*offsets],)).fetchall()

    def items(self, db: Connection) -> ItemFacts:
        """Return what the log says of all items, as of its end."""
        end = self.end(db)
        ids = self._ask(db, _ITEM_IDS, (end,)).fetchall()
        newest = {place for (place,) in self._ask(db, _NEWEST_ITEM_CHANGES, (end,))}
        changes: Iterable[tuple[Any, ...]] = self._ask(db, _ITEM_CHANGES, (end,))
        return item_facts(end, ids, newest, changes)

    def _ask(self, db: Connection, statement: str, values: tuple[Any, ...] | dict[str, Any] = ()) -> Cursor[Any]:
        # Numbers travel as they are stored, not as text.
        return db.cursor(binary=True).execute(statement.format(s=self._schema), values)


def _until(stop: int | None) -> int:
    return FOR_EVER if stop is None else stop

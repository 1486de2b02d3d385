"""The writer's side of an id dictionary: ids get dense rows in order of first appearance. Used by one thread only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import msgspec

from slatewise.storage.sums import row_sum

CACHED_IDS = 2_000_000
"""Ids kept in memory at most; past it the cache starts anew and asks the table."""


class IdDictionary:
    """Ids to rows, inside the writer's transactions. Rows never change, so what is cached is right until `forget`."""

    def __init__(self, table: str) -> None:
        self._find = f"SELECT id, row FROM {table} WHERE id IN (SELECT value FROM json_each(?))"
        self._newest = f"SELECT ifnull(max(row), -1) FROM {table}"
        self._insert = f"INSERT INTO {table}(row, id, first, sum) VALUES (?, ?, ?, ?)"
        self._rows: dict[str, int] = {}
        self._given: list[tuple[int, str, int]] = []
        self._flushed = 0
        self._next = -1

    def load(self, db: sqlite3.Connection, ids: Iterable[str | None]) -> None:
        """Make ready for `row` of these ids: one statement for all that are not in memory."""
        missing = [i for i in dict.fromkeys(ids) if i is not None and i not in self._rows]
        if not missing:
            return
        self._rows.update(db.execute(self._find, (msgspec.json.encode(missing).decode(),)))
        if self._next < 0:
            self._next = int(db.execute(self._newest).fetchone()[0]) + 1

    def row(self, id: str, offset: int) -> int:
        """Return the row of a loaded id, giving it one where the event at *offset* is the first to name it."""
        row = self._rows.get(id)
        if row is None:
            row = self._next
            self._next += 1
            self._rows[id] = row
            self._given.append((row, id, offset))
        return row

    def flush(self, db: sqlite3.Connection) -> None:
        """Write the rows given since the last flush into the open transaction."""
        db.executemany(self._insert, ((*given, row_sum(given)) for given in self._given[self._flushed :]))
        self._flushed = len(self._given)

    def forget(self) -> None:
        """Ask the table again for every id: one of them lost its row."""
        self._rows.clear()

    def settle(self, *, committed: bool) -> None:
        """End the transaction: keep what it gave, or forget it."""
        if not committed:
            for _, id, _ in self._given:
                self._rows.pop(id, None)
        self._given = []
        self._flushed = 0
        self._next = -1  # another process may give rows before our next transaction
        if len(self._rows) > CACHED_IDS:
            self._rows.clear()

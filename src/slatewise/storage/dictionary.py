"""The writer's side of an id dictionary in the log file. Used by one thread only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import msgspec

from slatewise.storage.row_giver import RowGiver
from slatewise.storage.sums import row_sum


class IdDictionary(RowGiver):
    """Gives rows and keeps them in a table."""

    def __init__(self, table: str) -> None:
        super().__init__()
        self._find = f"SELECT id, row FROM {table} WHERE id IN (SELECT value FROM json_each(?))"
        self._newest = f"SELECT ifnull(max(row), -1) FROM {table}"
        self._insert = f"INSERT INTO {table}(row, id, first, sum) VALUES (?, ?, ?, ?)"

    def load(self, db: sqlite3.Connection, ids: Iterable[str | None]) -> None:
        """Make ready for `row` of these ids: one statement for all that are not in memory."""
        missing = self.missing(ids)
        if missing:
            found = db.execute(self._find, (msgspec.json.encode(missing).decode(),))
            self.learn(found, lambda: int(db.execute(self._newest).fetchone()[0]) + 1)

    def flush(self, db: sqlite3.Connection) -> None:
        """Write the rows given since the last flush into the open transaction."""
        db.executemany(self._insert, ((*given, row_sum(given)) for given in self.take_given()))

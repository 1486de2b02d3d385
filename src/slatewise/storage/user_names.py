"""Which user id lives in which row, read from the log's dictionary. For training and evaluation, not for requests."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from slatewise.domain.ids import Rows
from slatewise.storage.log import SqliteEventLog

PAGE = 500
WALK = 50_000


class UserNames:
    """Translates both ways. Thread-safe."""

    def __init__(self, log: SqliteEventLog) -> None:
        self._log = log

    def ids(self, rows: Rows) -> list[str]:
        """Return the id in each row, empty where no user has it."""
        wanted = rows.tolist()
        found: dict[int, str] = {}
        with self._log.borrow() as db:
            for lo in range(0, len(wanted), PAGE):
                part = wanted[lo : lo + PAGE]
                marks = ",".join("?" * len(part))
                found.update(db.execute(f"SELECT row, id FROM user_ids WHERE row IN ({marks})", part))
        return [found.get(row, "") for row in wanted]

    def pages(self) -> Iterator[list[str]]:
        """Yield all ids, part by part."""
        after = -1
        while True:
            with self._log.borrow() as db:
                page = db.execute(
                    "SELECT row, id FROM user_ids WHERE row > ? ORDER BY row LIMIT ?", (after, WALK)
                ).fetchall()
            if not page:
                return
            yield [id for _, id in page]
            after = page[-1][0]

    def rows(self, ids: Collection[str]) -> Mapping[str, int]:
        """Return the row of every id that has one."""
        wanted = list(ids)
        found: dict[str, int] = {}
        with self._log.borrow() as db:
            for lo in range(0, len(wanted), PAGE):
                part = wanted[lo : lo + PAGE]
                marks = ",".join("?" * len(part))
                found.update(db.execute(f"SELECT id, row FROM user_ids WHERE id IN ({marks})", part))
        return found

"""The event log in one SQLite file: durable, ordered, each event once. Knows nothing of who folds it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from slatewise.domain.columns import Interactions
from slatewise.domain.errors import ConfigError, InputError, StorageError
from slatewise.domain.events import Event, Impression, Receipt, Stored
from slatewise.storage import reading, schema
from slatewise.storage.encoding import encode
from slatewise.storage.readers import Readers
from slatewise.storage.writer import Writer


class SqliteEventLog:
    """The event log of one HOME. Thread-safe; several processes may have the same file open.

    The first event has offset 1. A version ``v`` (``end``, ``Receipt.version``) reflects exactly the events with
    ``offset < v``: fold ``read(0, v)`` to get there, ``read(v)`` to go on. Offsets are never used twice.

    Opening creates the file unless *read_only*; its folder must exist. Raises StorageError for a file that is no event
    log of this format, ConfigError where the log holds an action that *action_names* lacks.
    """

    def __init__(self, path: Path, action_names: Sequence[str], *, read_only: bool = False) -> None:
        self._path = path
        self._index_of = {name: i for i, name in enumerate(action_names)}
        self._readers = Readers(path)
        self._writer: Writer | None = None
        self._action_of_code: tuple[int, ...] = ()
        db = schema.open_file(path, read_only=read_only)
        try:
            if not read_only:
                schema.prepare(db, path)
            schema.check_format(db, path)
            self._refresh_actions(db)
        except BaseException:
            db.close()
            raise
        if read_only:
            db.close()
        else:
            self._writer = Writer(db)

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def end(self) -> int:
        with self._readers.borrow() as db:
            found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
        return int(found[0]) + 1 if found else 0

    def append(self, events: Sequence[Event]) -> Receipt:
        """Store *events* durably, all or none, and return once they are on disk.

        Raises InputError for an undeclared action, a number that is not finite or text that cannot be stored;
        StorageError when durability cannot be had. Either way nothing is stored, and other callers are not affected.
        """
        if self._writer is None:
            raise StorageError(f"{self._path} is open for reading only")
        encoded = encode(events, self._index_of)
        if not encoded:
            return Receipt(accepted=0, duplicates=0, version=self.end)
        return self._writer.submit(encoded)

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[Stored]:
        names = tuple(self._index_of)
        while True:
            with self._readers.borrow() as db:
                page = reading.page(db, start, stop)
                actions = self._actions_for(db, (r[4] for r in page))
            for row in page:
                yield reading.stored(row, actions, names)
            if len(page) < reading.PAGE:
                return
            start = page[-1][0] + 1

    def interactions(self, start: int = 0, stop: int | None = None) -> Interactions:
        with self._readers.borrow() as db:
            columns = reading.interaction_columns(db, start, stop)
            actions = self._actions_for(db, ())
        return reading.interactions(columns, actions)

    def impressions(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Impression]]:
        while True:
            with self._readers.borrow() as db:
                page = reading.impression_page(db, start, stop)
            yield from ((offset, reading.impression(body)) for offset, body, hidden in page if not hidden)
            if len(page) < reading.PAGE:
                return
            start = page[-1][0] + 1

    def clicks(self) -> Mapping[str, Sequence[tuple[int, int]]]:
        found: dict[str, list[tuple[int, int]]] = {}
        with self._readers.borrow() as db:
            rows = reading.named_requests(db)
            actions = self._actions_for(db, (r[2] for r in rows))
        for request_id, item, code in rows:
            found.setdefault(request_id, []).append((item, actions[code]))
        return found

    def close(self) -> None:
        """Finish the appends in flight, then let go of the file. May be called twice."""
        if self._writer is not None:
            self._writer.close()
        self._readers.close()

    def __enter__(self) -> SqliteEventLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

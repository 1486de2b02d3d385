"""The event log in one SQLite file: durable, ordered, each event once. Knows nothing of who folds it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from slatewise.domain.columns import Interactions
from slatewise.domain.erasure import Erased
from slatewise.domain.errors import StorageError
from slatewise.domain.events import Event, Impression, Receipt, Stored, UserChange
from slatewise.domain.facts import ItemFacts, UserFacts, UserOffsets
from slatewise.domain.ids import Rows
from slatewise.storage import item_reading, reading, schema, user_names, user_reading, user_rows
from slatewise.storage.encoding import encode
from slatewise.storage.erasing import erase, find_shown
from slatewise.storage.mark import Glance, Mark, check_mark
from slatewise.storage.readers import Readers
from slatewise.storage.space import Reserve
from slatewise.storage.wal import Tail
from slatewise.storage.writer import Writer

_log = logging.getLogger(__name__)


class SqliteEventLog:
    """The event log of one HOME. Thread-safe; several processes may have the same file open.

    The first event has offset 1. A version ``v`` (``end``, ``Receipt.version``) reflects exactly the events with
    ``offset < v``: fold ``read(0, v)`` to get there, ``read(v)`` to go on. Offsets are never used twice.

    A `UserRemoval` hides that user's events before it from everything but `read`; later ones count again.

    Opening creates the file unless *read_only*; its folder must exist. Raises StorageError for a file that is no event
    log of this format or ends before what it acknowledged, ConfigError where it holds an action not in *action_names*.
    """

    def __init__(self, path: Path, action_names: Sequence[str], *, read_only: bool = False) -> None:
        self._path = path
        self._actions = tuple(action_names)
        self._readers = Readers(path)
        self._glance = Glance(path)
        self._writer: Writer | None = None
        self.tail = Tail()
        """What the write-ahead log held when this was opened: ``torn`` frames were cut off, nobody was told of them."""
        # Before the file is opened for writing: to close it again would clear the write-ahead log away, the evidence.
        check_mark(path, self._readers.borrow)
        db = schema.open_file(path, read_only=read_only)
        try:
            if not read_only:
                self.tail = schema.prepare(db, path)
            schema.check_format(db, path)
            reading.action_indexes(db, self._actions)
        except BaseException:
            db.close()
            raise
        if self.tail.torn:
            _log.warning(
                "%s: %d frames of interrupted writes were cut off at byte %d", path, self.tail.torn, self.tail.at
            )
        if read_only:
            db.close()
        else:
            self._writer = Writer(db, Mark(path, reading.end(db)), Reserve(path))

    is_near = True

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def identity(self) -> str:
        """What tells this log from every other, its own copies among them."""
        file = self._path.stat()
        return f"{file.st_dev} {file.st_ino}"

    @property
    def action_names(self) -> tuple[str, ...]:
        """The declared actions: the meaning of every action index."""
        return self._actions

    @property
    def end(self) -> int:
        """The offset after the last durable event, by whichever process; 0 for an empty log. Costs microseconds."""
        return self._glance.looked(self._look)

    def glance(self) -> int | None:
        return self._glance.known()

    @property
    def trouble(self) -> str | None:
        """Why writes are refused now: a full disk, or one that failed; None where they are not."""
        return None if self._writer is None else self._writer.trouble

    def append(self, events: Sequence[Event]) -> Receipt:
        """Store *events* durably, all or none, and return once they are on disk.

        Raises InputError for an undeclared action, a number that is not finite or text that cannot be stored; Conflict
        for an event_id that another event has; StorageFull where there is no room for anything but removals. Nothing is
        stored then, and other callers are not affected. Raises StorageError when the disk failed: then it is not known
        whether they are stored, and nothing more is taken until the log is opened anew.
        """
        writer = self._writing()
        encoded = encode(events, self._actions)
        if not encoded:
            return Receipt(accepted=0, duplicates=0, version=self.end)
        return writer.submit(encoded)

    def read(self, start: int = 0, stop: int | None = None, *, impressions: bool = True) -> Iterator[Stored]:
        while True:
            with self._readers.borrow() as db:
                page = reading.page(db, start, stop, impressions=impressions)
                actions = self.action_indexes(db)
            for row in page:
                yield reading.stored(row, actions, self._actions, self._path)
            if len(page) < reading.PAGE:
                return
            start = page[-1][0] + 1

    def interactions(self, start: int = 0, stop: int | None = None) -> Interactions:
        with self._readers.borrow() as db:
            table = reading.interaction_table(db, start, stop)
            return reading.interactions(table, self.action_indexes(db))

    def impressions(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Impression]]:
        while True:
            with self._readers.borrow() as db:
                page = reading.impression_page(db, start, stop)
            for offset, impression in page:
                if impression is not None:
                    yield offset, impression
            if len(page) < reading.PAGE:
                return
            start = page[-1][0] + 1

    def clicks(self) -> Mapping[str, Sequence[tuple[int, int]]]:
        """Return, by request_id, the ``(item row, action index)`` pairs that named it, of users not forgotten."""
        found: dict[str, list[tuple[int, int]]] = {}
        with self._readers.borrow() as db:
            rows = reading.named_requests(db)
            actions = self.action_indexes(db)
        for request_id, item, code in rows:
            found.setdefault(request_id, []).append((item, actions[code]))
        return found

    def erase_user(self, user_id: str, at: float) -> Erased | None:
        """Destroy all that the log holds of a user, at the instant *at*; None where it never heard of them.

        What followers read from now on ends with a `UserRemoval` of nobody by name: its row says who it was. Copies
        may lie in the file until `compact`, then in the write-ahead log until `empty`. Raises StorageError; then it is
        not known whether they are erased.
        """
        with self._readers.borrow() as db:
            shown = find_shown(db, user_id)
        return self._writing().erase(lambda db: erase(db, user_id, at, shown))

    def compact(self) -> None:
        """Write the file anew, so that it holds nothing but its rows; appends wait. Raises StorageError."""
        self._writing().compact()

    def empty(self) -> bool:
        """Leave nothing in the write-ahead log; False where a reader was in the way: try again. Raises StorageError."""
        return self._writing().empty()

    def _writing(self) -> Writer:
        if self._writer is None:
            raise StorageError(f"{self._path} is open for reading only")
        return self._writer

    def user_facts(self, user_id: str, before: int) -> UserFacts | None:
        with self._readers.borrow() as db:
            actions = self.action_indexes(db)
            return user_reading.read_user(db, user_id, before, actions)

    def user_changes(self, before: int) -> Mapping[int, UserChange]:
        with self._readers.borrow() as db:
            return user_reading.read_attributes(db, before)

    def user_ids(self, rows: Rows) -> list[str]:
        with self._readers.borrow() as db:
            return user_names.read_ids(db, rows)

    def user_rows(self, ids: Collection[str]) -> Mapping[str, int]:
        with self._readers.borrow() as db:
            return user_names.read_rows(db, ids)

    def user_pages(self) -> Iterator[list[str]]:
        """Yield the ids of all users, part by part."""
        after = -1
        while True:
            with self._readers.borrow() as db:
                page = user_names.read_page(db, after)
            if not page:
                return
            yield [id for _, id in page]
            after = page[-1][0]

    def user_offsets(self, user_id: str) -> UserOffsets | None:
        with self._readers.borrow() as db:
            return user_rows.find_rows(db, user_id)

    def rows_at(self, offsets: Sequence[int]) -> list[tuple[Any, ...]]:
        with self._readers.borrow() as db:
            return user_rows.read_rows(db, offsets)

    def item_facts(self) -> ItemFacts:
        with self._readers.borrow() as db:
            return item_reading.read_items(db)

    def borrow(self) -> AbstractContextManager[sqlite3.Connection]:
        """Lend a read connection to another view in this room."""
        return self._readers.borrow()

    def action_indexes(self, db: sqlite3.Connection) -> list[int]:
        """Return, per action code in the file, the settings' index. Read the codes' rows first, then this."""
        return reading.action_indexes(db, self._actions)

    def close(self) -> None:
        """Finish the appends in flight, then let go of the file. May be called twice."""
        if self._writer is not None:
            self._writer.close()
        self._glance.close()
        self._readers.close()

    def _look(self) -> int:
        with self._readers.borrow() as db:
            return reading.end(db)

    def __enter__(self) -> SqliteEventLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

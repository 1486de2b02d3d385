"""The one thread that writes: whoever waits at the same time shares one transaction and one sync (group commit)."""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import Future

import msgspec

from slatewise.domain.errors import StorageError
from slatewise.domain.events import Receipt
from slatewise.storage.dictionary import IdDictionary
from slatewise.storage.encoding import EncodedEvent

GROUP_EVENTS = 50_000
"""Events after which a transaction takes no further caller, so that nobody waits for a whole import."""

_INSERT = (
    "INSERT INTO log(offset, kind, user, item, action, at, value, event_id, request_id, body)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_FATAL = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class _Waiting:
    def __init__(self, events: Sequence[EncodedEvent]) -> None:
        self.events = events
        self.receipt: Future[Receipt] = Future()


class Writer:
    """Appends encoded events durably, in the order they came. Thread-safe. Owns the connection it is given."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._users = IdDictionary("user_ids")
        self._items = IdDictionary("item_ids")
        self._actions: dict[str, int] = {}
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._refusal: str | None = None
        self._thread = threading.Thread(target=self._run, name="event-log-writer", daemon=True)
        self._thread.start()

    def submit(self, events: Sequence[EncodedEvent]) -> Receipt:
        """Return once the events are on disk, all or none. Raises StorageError; then none is stored."""
        waiting = _Waiting(events)
        with self._gate:
            if self._refusal is not None:
                raise StorageError(self._refusal)
            self._queue.put(waiting)
        return waiting.receipt.result()

    def close(self) -> None:
        """Finish what was submitted, then stop. May be called twice."""
        with self._gate:
            first = self._refusal is None or self._thread.is_alive()
            self._refusal = self._refusal or "the event log is closed"
            if first:
                self._queue.put(None)
        self._thread.join()
        self._db.close()

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            with self._gate:
                self._refusal = self._refusal or "the writer of the event log stopped"
            while not self._queue.empty():
                waiting = self._queue.get()
                if waiting is not None:
                    waiting.receipt.set_exception(StorageError(self._refusal))

    def _serve(self) -> None:
        last = False
        while not last:
            group, last = self._next_group()
            try:
                self._write(group)
            except sqlite3.Error as error:
                self._fail(group, error)
            finally:
                for waiting in group:
                    # Only after a programming error: nobody may wait for a thread that is gone.
                    if not waiting.receipt.done():
                        waiting.receipt.set_exception(StorageError("the writer of the event log stopped"))

    def _next_group(self) -> tuple[list[_Waiting], bool]:
        group: list[_Waiting] = []
        events = 0
        while events < GROUP_EVENTS:
            try:
                waiting = self._queue.get(block=not group)
            except queue.Empty:
                break
            if waiting is None:
                return group, True
            group.append(waiting)
            events += len(waiting.events)
        return group, False

    def _write(self, group: Sequence[_Waiting]) -> None:
        if not group:
            return
        committed = False
        try:
            self._db.execute("BEGIN IMMEDIATE")
            receipts = [self._append(waiting.events) for waiting in group]
            self._db.execute("COMMIT")
            committed = True
        finally:
            self._users.settle(committed=committed)
            self._items.settle(committed=committed)
            if not committed:
                self._actions.clear()
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
        for waiting, receipt in zip(group, receipts, strict=True):
            waiting.receipt.set_result(receipt)

    def _fail(self, group: Sequence[_Waiting], error: sqlite3.Error) -> None:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _FATAL:
            # After a failed sync the kernel may have dropped the pages: no later success would mean anything.
            with self._gate:
                self._refusal = f"the event log takes no more writes until it is opened anew, after: {error}"
        for waiting in group:
            waiting.receipt.set_exception(StorageError(f"nothing was stored: {error}"))

    def _append(self, events: Sequence[EncodedEvent]) -> Receipt:
        """Insert one caller's events into the open transaction."""
        found = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
        offset = found[0] if found else 0
        fresh = self._without_known(events)
        users, items = self._users, self._items
        users.load(self._db, (e.user_id for e in fresh))
        items.load(self._db, (e.item_id for e in fresh))
        actions = self._codes(fresh)
        rows = []
        for kind, user_id, item_id, action, at, value, event_id, request_id, body in fresh:
            offset += 1
            user = None if user_id is None else users.row(user_id, offset)
            item = None if item_id is None else items.row(item_id, offset)
            rows.append((offset, kind, user, item, actions.get(action), at, value, event_id, request_id, body))
        users.flush(self._db)
        items.flush(self._db)
        self._db.executemany(_INSERT, rows)
        version = offset + 1 if offset else 0
        return Receipt(accepted=len(fresh), duplicates=len(events) - len(fresh), version=version)

    def _without_known(self, events: Sequence[EncodedEvent]) -> Sequence[EncodedEvent]:
        named = [e.event_id for e in events if e.event_id is not None]
        if not named:
            return events
        known = {
            found[0]
            for found in self._db.execute(
                "SELECT event_id FROM log WHERE event_id IN (SELECT value FROM json_each(?))",
                (msgspec.json.encode(named).decode(),),
            )
        }
        if not known and len(set(named)) == len(named):
            return events
        fresh = []
        for event in events:
            if event.event_id is not None:
                if event.event_id in known:
                    continue
                known.add(event.event_id)
            fresh.append(event)
        return fresh

    def _codes(self, events: Sequence[EncodedEvent]) -> dict[str | None, int]:
        names = {e.action for e in events if e.action is not None}
        if not names <= self._actions.keys():
            self._actions = {name: code for code, name in self._db.execute("SELECT code, name FROM actions")}
            for name in sorted(names - self._actions.keys()):
                code = len(self._actions)
                self._db.execute("INSERT INTO actions(code, name) VALUES (?, ?)", (code, name))
                self._actions[name] = code
        return {None: None, **self._actions}  # type: ignore[dict-item]

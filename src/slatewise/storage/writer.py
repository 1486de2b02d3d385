"""What the writing thread does with a group of appends: one transaction and one sync, in a file that can fill up."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from slatewise.domain.erasure import Erased
from slatewise.domain.errors import Conflict, ReadOnly, StorageError, StorageFull
from slatewise.domain.events import Receipt
from slatewise.storage import schema
from slatewise.storage.dictionary import IdDictionary
from slatewise.storage.encoding import EncodedEvent
from slatewise.storage.erasing import erasures
from slatewise.storage.group_commit import Turnstile, Waiting
from slatewise.storage.known import without_known
from slatewise.storage.mark import Mark
from slatewise.storage.row_giver import numbered
from slatewise.storage.space import LOW_BYTES, Reserve
from slatewise.storage.sums import row_sum

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

CHECKPOINT_PAGES = 4_000
"""Estimated pages of the write-ahead log after which it is folded back into the file."""

LOOK_EVERY = 16
"""Groups after which the disk is asked for its space again."""

PAGE_BYTES = 4096

LINGER_MS = 100
"""How long emptying the write-ahead log waits for readers of it."""

FULL = "the disk is full: reads and removals go on, writes once there is room"

_INSERT = (
    "INSERT INTO log(offset, kind, user, item, action, at, value, event_id, request_id, body, sum)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_FATAL = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})
_REMOVALS = frozenset({schema.ITEM_REMOVAL, schema.USER_REMOVAL})


class _Waiting(Waiting):
    """A caller with events to append, or a *job* for the transaction, or something to do *outside* of any."""

    def __init__(
        self,
        events: Sequence[EncodedEvent] = (),
        job: Callable[[sqlite3.Connection], Any] | None = None,
        *,
        outside: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(events)
        self.job = job
        self.outside = outside
        self.only_removes = all(event.kind in _REMOVALS for event in events)
        self.is_change = job is not None or any(event.kind != schema.IMPRESSION for event in events)


class Writer:
    """Appends encoded events durably, in the order they came. Thread-safe. Owns what it is given.

    After an error of the disk it takes nothing more: the kernel may have dropped what it could not write, so no later
    success would mean anything until the file is opened anew and read from the disk. A full disk is another matter.
    What would not fit twice, in the write-ahead log and in the file, is refused, while removals go on, in the room of
    the *reserve* where need be. Writes are taken again once there is space. Without *reserve* nobody looks at space.
    """

    def __init__(self, db: sqlite3.Connection, mark: Mark | None = None, reserve: Reserve | None = None) -> None:
        self._db = db
        self._mark = mark
        self._reserve = reserve
        self._users = IdDictionary("user_ids")
        self._items = IdDictionary("item_ids")
        self._actions: dict[str, int] = {}
        self._erasures = -1
        self._pages = 0
        self._is_full = self._is_low = False
        self._wanted_bytes = self._groups = 0
        self._broken: str | None = None
        self._turnstile: Turnstile[_Waiting] = Turnstile(self._turn, lambda: self._fold_back("TRUNCATE"))

    @property
    def trouble(self) -> str | None:
        """Why writes are refused now; None where they are not."""
        is_full = self._is_full and self._reserve is not None and self._reserve.room_bytes < self._wanted_bytes
        return self._broken or (FULL if is_full else None)

    def submit(self, events: Sequence[EncodedEvent]) -> Receipt:
        """Return once the events are on disk, all or none.

        Raises Conflict, StorageFull and ReadOnly, with nothing stored, and StorageError: then it may not be known.
        """
        receipt: Receipt = self._turnstile.wait(_Waiting(events))
        return receipt

    def erase(self, job: Callable[[sqlite3.Connection], Erased | None]) -> Erased | None:
        """Run *job*, which erases, in a transaction that is on disk when this returns. Raises as `submit`."""
        erased: Erased | None = self._turnstile.wait(_Waiting(job=job))
        return erased

    def compact(self) -> None:
        """Write the file anew, so that it holds nothing but its rows. Raises as `submit`, StorageFull above all."""
        self._turnstile.wait(_Waiting(outside=lambda: schema.compact(self._db)))

    def empty(self) -> bool:
        """Fold all of the write-ahead log back; False where somebody reads old pages of it. Raises as `submit`."""
        return bool(self._turnstile.wait(_Waiting(outside=lambda: self._fold_back("TRUNCATE"))))

    def close(self) -> None:
        """Finish what was submitted, then stop. May be called twice."""
        self._turnstile.close()
        self._db.close()
        if self._mark is not None:
            self._mark.close()
            self._mark = None

    def _turn(self, group: Sequence[_Waiting]) -> None:
        self._take(group)
        if self._pages >= CHECKPOINT_PAGES:
            self._fold_back("PASSIVE")
        elif self._pages and self._is_low:
            self._fold_back("RESTART")  # keeps the file's space, to be written over

    def _take(self, group: Sequence[_Waiting]) -> None:
        if self._broken is not None:
            return _refuse(group, ReadOnly(self._broken))
        if not self._fits(group):
            _refuse([waiting for waiting in group if not waiting.only_removes], StorageFull(FULL))
            group = [waiting for waiting in group if waiting.only_removes]
        try:
            self._write([waiting for waiting in group if waiting.outside is None])
            for waiting in group:
                if waiting.outside is not None:
                    waiting.receipt.set_result(waiting.outside())
        except sqlite3.Error as error:
            self._fail([waiting for waiting in group if not waiting.receipt.done()], error)

    def _fits(self, group: Sequence[_Waiting]) -> bool:
        # To ask costs as much as a small write, and nobody fills all of LOW_BYTES within a few groups.
        is_due = self._groups % LOOK_EVERY == 0 or self._is_low or self._is_full
        self._groups += 1
        if self._reserve is None or not is_due:
            return True
        room = self._reserve.room_bytes
        self._is_low = room < LOW_BYTES
        if not self._is_low:
            self._is_full = not self._reserve.restore()
            return not self._is_full
        wanted = max(self._reserve.size, 2 * PAGE_BYTES * sum(_pages(len(waiting.events)) for waiting in group))
        if room >= wanted and self._reserve.restore():
            self._is_full = False
            return True
        self._wanted_bytes = wanted
        if not self._is_full:
            _log.error("%s", FULL)
        self._is_full = True
        return False

    def _write(self, group: Sequence[_Waiting]) -> None:
        if not group:
            return
        committed = False
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._forget_erased()
            outcomes = [self._outcome(waiting) for waiting in group]
            self._db.execute("COMMIT")
            committed = True
        finally:
            self._users.settle(committed=committed)
            self._items.settle(committed=committed)
            if not committed:
                self._actions.clear()
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
        if self._mark is not None:
            end = max((o.version for o in outcomes if isinstance(o, Receipt | Erased)), default=0)
            self._mark.tell(end, is_change=any(waiting.is_change for waiting in group))
        for waiting, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Conflict):
                waiting.receipt.set_exception(outcome)
            else:
                self._pages += _pages(outcome.accepted if isinstance(outcome, Receipt) else 0)
                waiting.receipt.set_result(outcome)

    def _fail(self, group: Sequence[_Waiting], error: sqlite3.Error) -> None:
        code = getattr(error, "sqlite_errorcode", 0)
        if code in _NO_ROOM:
            return self._run_out(group)
        if code & 0xFF not in _FATAL:
            return _refuse(group, StorageError(f"nothing was stored: {error}"))
        self._give_up(error)
        _refuse(group, StorageError(f"whether it was stored is not known: {error}"))

    def _run_out(self, group: Sequence[_Waiting]) -> None:
        """Refuse what is no removal and give removals the room that was kept for them."""
        self._is_full = self._is_low = True
        self._wanted_bytes = max(self._wanted_bytes, 0 if self._reserve is None else self._reserve.size)
        _log.error("%s", FULL)
        retried = [w for w in group if w.only_removes and self._reserve is not None and self._reserve.held]
        if self._reserve is not None:
            self._reserve.release()
        _refuse([waiting for waiting in group if waiting not in retried], StorageFull(FULL))
        if retried:
            self._fold_back("RESTART")
            self._take(retried)

    def _give_up(self, error: sqlite3.Error) -> None:
        self._broken = f"the event log takes no more writes until it is opened anew, after: {error}"
        self._turnstile.refuse(ReadOnly, self._broken)
        _log.critical("%s", self._broken)

    def _fold_back(self, how: Literal["PASSIVE", "RESTART", "TRUNCATE"]) -> bool:
        """Copy the pages of the write-ahead log into the file, so that the log starts anew; TRUNCATE also empties it.

        Readers of older pages are waited for, but with PASSIVE; False where the wait was too short.
        """
        if self._broken is not None:
            return False
        self._pages = 0
        try:
            self._db.execute(f"PRAGMA busy_timeout = {0 if how == 'PASSIVE' else LINGER_MS}")
            is_busy = self._db.execute(f"PRAGMA wal_checkpoint({how})").fetchone()[0]
            self._db.execute(f"PRAGMA busy_timeout = {int(schema.BUSY_S * 1000)}")
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0)
            if code & 0xFF in _FATAL and code not in _NO_ROOM:
                self._give_up(error)
            else:
                _log.warning("the write-ahead log was not folded back: %s", error)
            return False
        return not is_busy

    def _forget_erased(self) -> None:
        """Believe no remembered row once anybody, in any process, erased a user."""
        count = erasures(self._db)
        if count != self._erasures:
            self._erasures = count
            self._users.forget()

    def _outcome(self, waiting: _Waiting) -> Receipt | Erased | Conflict | None:
        if waiting.job is not None:
            erased: Erased | None = waiting.job(self._db)
            self._forget_erased()
            return erased
        events = waiting.events
        try:
            return self._append(events, without_known(self._db, events))
        except Conflict as error:  # raised before anything of this caller was written
            return error

    def _append(self, events: Sequence[EncodedEvent], fresh: Sequence[EncodedEvent]) -> Receipt:
        """Insert one caller's new events into the open transaction."""
        found = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
        offset = found[0] if found else 0
        users, items = self._users, self._items
        users.load(self._db, (e.user_id for e in fresh))
        items.load(self._db, (e.item_id for e in fresh))
        rows = [(*row, row_sum(row)) for row in numbered(fresh, offset, users, items, self._codes(fresh))]
        offset += len(fresh)
        users.flush(self._db)
        items.flush(self._db)
        self._db.executemany(_INSERT, rows)
        version = offset + 1 if offset else 0
        return Receipt(accepted=len(fresh), duplicates=len(events) - len(fresh), version=version)

    def _codes(self, events: Sequence[EncodedEvent]) -> dict[str, int]:
        names = {e.action for e in events if e.action is not None}
        if not names <= self._actions.keys():
            self._actions = {name: code for code, name in self._db.execute("SELECT code, name FROM actions")}
            for name in sorted(names - self._actions.keys()):
                row = (len(self._actions), name)
                self._db.execute("INSERT INTO actions(code, name, sum) VALUES (?, ?, ?)", (*row, row_sum(row)))
                self._actions[name] = row[0]
        return self._actions


def _pages(events: int) -> int:
    return 8 + 3 * events


def _refuse(group: Sequence[_Waiting], error: StorageError) -> None:
    for waiting in group:
        waiting.receipt.set_exception(error)

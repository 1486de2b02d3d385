"""The event log in a PostgreSQL database: durable, ordered, each event once. Knows nothing of who folds it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from slatewise.domain.columns import Interactions
from slatewise.domain.erasure import Erased
from slatewise.domain.errors import ConfigError, InputError, ReadOnly, StorageError, StorageFull
from slatewise.domain.events import Event, Impression, Receipt, Stored, UserChange
from slatewise.domain.facts import ItemFacts, UserFacts, UserOffsets
from slatewise.domain.ids import Rows
from slatewise.postgres.pool import Pool, Purpose
from slatewise.storage import reading
from slatewise.storage.encoding import encode
from slatewise.storage.group_commit import GroupCommit
from slatewise.storage.postgres import schema as tables
from slatewise.storage.postgres import verifying
from slatewise.storage.postgres.erasing import erase, vacuum
from slatewise.storage.postgres.reading import Reading
from slatewise.storage.postgres.writer import PostgresTransaction

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")

WHAT = "event log on PostgreSQL"


class PostgresEventLog:
    """The event log in one schema of a database. Thread-safe; any number of processes may share it.

    Offsets and versions mean what they mean in `SqliteEventLog`. Opening creates and upgrades the tables unless
    *read_only*. Raises ConfigError for a url that cannot be right, without psycopg, and for a log that holds an action
    not in *action_names*; StorageError where the server is away or the schema holds no log of this layout.

    Nothing breaks for good here: when the server is back, or writable again, the next call goes through.
    """

    def __init__(self, url: str, schema: str, action_names: Sequence[str], *, read_only: bool = False) -> None:
        self._schema = tables.checked_name(schema)
        self._actions = tuple(action_names)
        self._reading = Reading(self._schema)
        try:
            self._pool = Pool(_psycopg(), url, Purpose(WHAT, "storage.url", _prepare, {}))
        except InputError as error:
            raise ConfigError(str(error)) from error
        self._closed = False
        if not read_only:
            self._pool.run(lambda db: tables.prepare(db, self._schema, self.shown))
        self._pool.run(lambda db: tables.check(db, self._schema, self.shown))
        self._codes()
        self._commit = None if read_only else PostgresTransaction(self._pool, self._schema)
        self._writer = None if self._commit is None else GroupCommit(self._commit)

    is_near = False

    @property
    def shown(self) -> str:
        """Where the log is, fit to be shown."""
        return self._pool.shown

    @property
    def identity(self) -> str:
        """What tells this log from every other, its own restored copies among them."""
        return f"{self.shown} {self._ask(lambda db: tables.identity(db, self._schema))}"

    @property
    def action_names(self) -> tuple[str, ...]:
        """The declared actions: the meaning of every action index."""
        return self._actions

    @property
    def end(self) -> int:
        """The offset after the last durable event, by whichever process; 0 for an empty log. One round trip."""
        return self._ask(self._reading.end)

    def glance(self) -> int | None:
        """Return None: only the server knows."""
        return None

    @property
    def trouble(self) -> str | None:
        """Why writes are refused now: no answer, a read-only or a full server; None where they are not.

        Asks the server. That it is full shows in a write only, so that stands until the next one.
        """
        try:
            is_read_only = self._ask(tables.is_read_only)
        except StorageError as error:
            return str(error)
        if is_read_only:
            return f"{self.shown} is read-only"
        refused = None if self._commit is None else self._commit.refused
        return str(refused) if refused is not None and refused.kind is StorageFull else None

    def append(self, events: Sequence[Event]) -> Receipt:
        """Store *events* durably, all or none, and return once the server has committed them to its disk.

        Raises InputError for an undeclared action, a number that is not finite or text that cannot be stored; Conflict
        for an event_id that another event has; StorageFull, ReadOnly and StorageLost for what the server cannot do now.
        Nothing is stored then, and other callers are not affected. Raises StorageError itself where the connection
        broke in a commit and the server did not come back to say what became of it.
        """
        writer = self._require_writing()
        encoded = encode(events, self._actions)
        if not encoded:
            return Receipt(accepted=0, duplicates=0, version=self.end)
        return writer.submit(encoded)

    def read(self, start: int = 0, stop: int | None = None, *, impressions: bool = True) -> Iterator[Stored]:
        while True:
            page = self._ask(partial(self._reading.page, start=start, stop=stop, impressions=impressions))
            actions = self._codes()
            for row in page:
                yield reading.stored(row, actions, self._actions, self.shown)
            if len(page) < reading.PAGE:
                return
            start = page[-1][0] + 1

    def interactions(self, start: int = 0, stop: int | None = None) -> Interactions:
        table = self._ask(partial(self._reading.interaction_table, start=start, stop=stop))
        return reading.interactions(table, self._codes())

    def impressions(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Impression]]:
        while True:
            page = self._ask(partial(self._reading.impression_page, start=start, stop=stop))
            for offset, impression in page:
                if impression is not None:
                    yield offset, impression
            if len(page) < reading.PAGE:
                return
            start = page[-1][0] + 1

    def clicks(self) -> Mapping[str, Sequence[tuple[int, int]]]:
        """Return, by request_id, the ``(item row, action index)`` pairs that named it, of users not forgotten."""
        rows, actions = self._ask(self._reading.named_requests), self._codes()
        found: dict[str, list[tuple[int, int]]] = {}
        for request_id, item, code in rows:
            found.setdefault(request_id, []).append((item, actions[code]))
        return found

    def user_facts(self, user_id: str, before: int) -> UserFacts | None:
        return self._ask(lambda db: self._reading.user(db, user_id, before, self._actions))

    def user_changes(self, before: int) -> Mapping[int, UserChange]:
        return self._ask(lambda db: self._reading.user_changes(db, before))

    def user_ids(self, rows: Rows) -> list[str]:
        return self._ask(lambda db: self._reading.user_ids(db, rows))

    def user_rows(self, ids: Collection[str]) -> Mapping[str, int]:
        return self._ask(lambda db: self._reading.user_rows(db, ids))

    def user_pages(self) -> Iterator[list[str]]:
        after = -1
        while page := self._ask(partial(self._reading.user_page, after=after)):
            yield [id for _, id in page]
            after = page[-1][0]

    def user_offsets(self, user_id: str) -> UserOffsets | None:
        return self._ask(lambda db: self._reading.user_offsets(db, user_id))

    def rows_at(self, offsets: Sequence[int]) -> list[tuple[Any, ...]]:
        return self._ask(lambda db: self._reading.rows_at(db, offsets))

    def erase_user(self, user_id: str, at: float) -> Erased | None:
        self._require_writing()
        return self._ask(lambda db: erase(db, self._schema, user_id, at))

    def compact(self) -> None:
        self._require_writing()
        self._ask(lambda db: vacuum(db, self._schema))

    def empty(self) -> bool:
        """Nothing to do: what the server keeps to recover from a crash goes in its own time."""
        return True

    def item_facts(self) -> ItemFacts:
        return self._ask(self._reading.items)

    def damage(self) -> list[str]:
        """Return what does not fit together in the tables, one line each; see also `has_checksums`."""
        return self._ask(lambda db: verifying.damage(db, self._schema))

    @property
    def has_checksums(self) -> bool:
        """Whether the server notices pages that its disk changed."""
        return self._ask(verifying.has_checksums)

    def close(self) -> None:
        """Finish the appends in flight, then let go of the server. May be called twice."""
        if self._writer is not None:
            self._writer.close()
        self._closed = True
        self._pool.close()

    def __enter__(self) -> PostgresEventLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _require_writing(self) -> GroupCommit:
        if self._writer is None:
            raise ReadOnly(f"{self.shown} is open for reading only")
        return self._writer

    def _codes(self) -> list[int]:
        """Return, per action code in the log, the settings' index. Read the codes' rows first, then this."""
        return self._ask(partial(self._reading.action_indexes, declared=self._actions))

    def _ask(self, work: Callable[[Connection], T]) -> T:
        if self._closed:
            raise StorageError(f"{WHAT} at {self.shown} is closed")
        return self._pool.run(work)


def _prepare(db: Connection) -> None:
    # Nothing asked here is worth compiling. A name helps whoever looks at the server's list of sessions.
    db.execute("SELECT set_config('jit', 'off', false), set_config('application_name', 'slatewise', false)")


def _psycopg() -> ModuleType:
    try:
        import psycopg
    except ImportError as error:
        raise ConfigError(
            f"storage.url names a PostgreSQL, which needs psycopg ({error}): pip install 'slatewise[postgres]'"
        ) from error
    return psycopg

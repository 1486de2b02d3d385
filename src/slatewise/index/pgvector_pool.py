"""Connections to one PostgreSQL with pgvector: opened as threads need them, replaced when lost. Knows no tables."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from slatewise.domain.errors import StorageError
from slatewise.index.pgvector_wire import Binary
from slatewise.index.remote import imported, refused_url, without_password

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")

EXPECTED = "postgresql://user:password@host:5432/database"
OLDEST = (0, 8)
"""The first pgvector that goes on walking its graph until a filter has let enough rows through."""
CONNECT_SECONDS = 10
KEPT = 16
"""Most idle connections; as many threads can search without opening one."""
SESSION = """
SELECT set_config('hnsw.iterative_scan', 'relaxed_order', false), set_config('jit', 'off', false)
"""
# Compiling a statement takes longer than any search here.


class Pool:
    """Lends each caller a connection of its own. Thread-safe.

    What is run must be repeatable: where a connection turns out to be lost, it is run once more on a new one.
    """

    def __init__(self, url: str) -> None:
        self._psycopg = imported("psycopg", "pgvector")
        self._url = url
        self._idle: list[Connection] = []
        self._lock = Lock()
        self._check_url()
        # Nobody closes an index; connections of one that is no longer used would otherwise wait for the server.
        weakref.finalize(self, _close_all, self._idle)

    def run(self, work: Callable[[Connection], T]) -> T:
        """Return what *work* returns. Raises StorageError where the server is away or refuses."""
        try:
            return self._run(work, may_repeat=True)
        except self._psycopg.Error as error:
            raise StorageError(f"index on PostgreSQL at {self.shown}: {_first_line(error)}") from error

    @property
    def shown(self) -> str:
        """The url, fit to be shown."""
        return without_password(self._url)

    def close(self) -> None:
        """Close what is idle. A later call opens connections again."""
        with self._lock:
            _close_all(self._idle)

    def _run(self, work: Callable[[Connection], T], may_repeat: bool) -> T:
        connection = self._borrow()
        try:
            result = work(connection)
        except self._psycopg.OperationalError:
            connection.close()
            if not may_repeat:
                raise
            # Where one is lost the idle ones mostly are, too.
            self.close()
        except BaseException:
            connection.close()
            raise
        else:
            self._give_back(connection)
            return result
        return self._run(work, may_repeat=False)

    def _borrow(self) -> Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._connect()

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if len(self._idle) < KEPT:
                self._idle.append(connection)
                return
        connection.close()

    def _connect(self) -> Connection:
        asked = self._psycopg.conninfo.conninfo_to_dict(self._url)
        patience = {} if "connect_timeout" in asked else {"connect_timeout": CONNECT_SECONDS}
        # Statements are planned anew each time: a plan for any limit and any filter is no plan for these.
        connection: Connection = self._psycopg.connect(self._url, autocommit=True, prepare_threshold=None, **patience)
        try:
            _require_extension(connection, self.shown)
            connection.execute(SESSION)
            connection.adapters.register_dumper(Binary, _binary_dumper())
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_url(self) -> None:
        if not self._url.startswith(("postgresql://", "postgres://")):
            raise refused_url(self._url, EXPECTED)
        try:
            self._psycopg.conninfo.conninfo_to_dict(self._url)
        except self._psycopg.ProgrammingError as error:
            raise refused_url(self._url, f"{EXPECTED} ({_first_line(error)})") from error


def _require_extension(connection: Connection, shown: str) -> None:
    """Make pgvector available in this database. Raises StorageError where that needs an administrator."""
    import psycopg

    version = _extension_version(connection)
    if version is None:
        try:
            with connection.transaction():
                # Two processes that create it at once would collide in the server's catalogue.
                connection.execute("SELECT pg_advisory_xact_lock(hashtext('slatewise'))")
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except (psycopg.ProgrammingError, psycopg.NotSupportedError) as error:
            hint = "an administrator must install pgvector and run CREATE EXTENSION vector"
            raise StorageError(f"index on PostgreSQL at {shown}: {_first_line(error)}; {hint}") from error
        version = _extension_version(connection)
    if version is None or version < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise StorageError(f"index on PostgreSQL at {shown}: pgvector {version}, expected {wanted} or newer")


def _extension_version(connection: Connection) -> tuple[int, ...] | None:
    found = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    return None if found is None else tuple(int(part) for part in found[0].split(".")[:2])


def _binary_dumper() -> type[Any]:
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    class BinaryDumper(Dumper):
        format = Format.BINARY

        def dump(self, obj: Binary) -> bytes:
            return obj.data

    return BinaryDumper


def _close_all(connections: list[Connection]) -> None:
    while connections:
        with suppress(Exception):
            connections.pop().close()


def _first_line(error: Exception) -> str:
    return without_password(str(error)).strip().partition("\n")[0]

"""Connections to one PostgreSQL: opened as threads need them, replaced when lost. Knows no tables."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from slatewise.domain.errors import InputError, StorageError, StorageLost
from slatewise.domain.urls import without_password

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")

EXPECTED = "postgresql://user:password@host:5432/database"
KEPT = 16
"""Most idle connections; as many threads can ask without opening one."""
PATIENCE: dict[str, int] = {
    "connect_timeout": 10,
    # A server that vanished without a word is given up after some 20 seconds, not after the two hours of a TCP default.
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""How long a silent server is waited for, where the url does not say."""

AWAY = ("08", "57P", "53300")
"""Beginnings of SQLSTATEs: connection errors, shutdown and start of the server, too many connections."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What the connections are for: ``what`` begins every message, ``setting`` is the one that holds the url.

    ``prepare`` makes a new connection ready. ``options`` go to psycopg's ``connect``.
    """

    what: str
    setting: str
    prepare: Callable[[Connection], None]
    options: dict[str, Any]


class Pool:
    """Lends each caller a connection of its own, in autocommit mode. Thread-safe.

    *psycopg* is the imported client. Raises InputError for a url that cannot be right; opens nothing yet.
    """

    def __init__(self, psycopg: ModuleType, url: str, purpose: Purpose) -> None:
        self._psycopg = psycopg
        self._url = url
        self._purpose = purpose
        self._idle: list[Connection] = []
        self._lock = Lock()
        self._asked = self._checked_url()
        # Not everybody closes; connections of one that is no longer used would otherwise wait for the server.
        weakref.finalize(self, _close_all, self._idle)

    def run(self, work: Callable[[Connection], T]) -> T:
        """Return what *work* returns. Raises StorageLost where the server is away, StorageError where it refuses.

        What is run must be repeatable: where a connection turns out to be lost, it is run once more on a new one.
        """
        try:
            return self._run(work, may_repeat=True)
        except self._psycopg.Error as error:
            raise (StorageLost if is_lost(error) else StorageError)(self.worded(error)) from error

    def connect(self) -> Connection:
        """Return a new connection, which the caller closes. Raises psycopg's errors."""
        given = {name: value for name, value in PATIENCE.items() if name not in self._asked}
        connection: Connection = self._psycopg.connect(self._url, autocommit=True, **given, **self._purpose.options)
        try:
            self._purpose.prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def shown(self) -> str:
        """The url, fit to be shown."""
        return without_password(self._url)

    def worded(self, error: Exception) -> str:
        """Return an error of the client fit to be shown: one line, without passwords."""
        return f"{self._purpose.what} at {self.shown}: {first_line(error)}"

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
        return self.connect()

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if len(self._idle) < KEPT:
                self._idle.append(connection)
                return
        connection.close()

    def _checked_url(self) -> dict[str, Any]:
        if not self._url.startswith(("postgresql://", "postgres://")):
            raise InputError(self._purpose.setting, self.shown, EXPECTED)
        try:
            asked: dict[str, Any] = self._psycopg.conninfo.conninfo_to_dict(self._url)
        except self._psycopg.ProgrammingError as error:
            raise InputError(self._purpose.setting, self.shown, f"{EXPECTED} ({first_line(error)})") from error
        # What libpq takes for a port or a database may be a piece of the password, and its messages show it.
        ports = str(asked.get("port", 0)).split(",")
        if "@" in str(asked.get("dbname", "")) or not all(port.isdigit() for port in ports if port):
            raise InputError(
                self._purpose.setting, self.shown, f"{EXPECTED}, with '@', '/' and ':' as %40, %2F and %3A"
            )
        return asked


def is_lost(error: Exception) -> bool:
    """Whether an error of psycopg means that the server is away: it goes down, or cannot be reached, or is full up."""
    import psycopg

    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and not is_refused(error)


def is_refused(error: Exception) -> bool:
    """Whether the server itself said no to a statement, and is there to take another."""
    code = getattr(error, "sqlstate", None)
    return code is not None and not code.startswith(AWAY)


def first_line(error: Exception) -> str:
    """Return what an error says first, without passwords."""
    return without_password(str(error)).strip().partition("\n")[0]


def _close_all(connections: list[Connection]) -> None:
    while connections:
        with suppress(Exception):
            connections.pop().close()

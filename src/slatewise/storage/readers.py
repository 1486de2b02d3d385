"""Read-only connections to the log file, handed out one per borrower. Knows no table."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slatewise.domain.errors import StorageError
from slatewise.storage.schema import REPAIR, open_file


class Readers:
    """A pool of read connections: in WAL mode they never wait for the writer. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._gate = threading.Lock()
        self._closed = False

    @contextmanager
    def borrow(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection. Raises StorageError for what SQLite reports while it is lent, and once closed."""
        db = self._take()
        try:
            yield db
        except sqlite3.Error as error:
            is_damaged = getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
            repair = f"; {REPAIR}" if is_damaged else ""
            raise StorageError(f"cannot read {self._path}: {error}{repair}") from error
        except (ValueError, TypeError, IndexError, OverflowError) as error:  # text for numbers, codes that nobody gave
            raise StorageError(f"{self._path} holds what was never written to it: {error}; {REPAIR}") from error
        finally:
            self._give(db)

    def close(self) -> None:
        """Close idle connections now and lent ones when they come back."""
        with self._gate:
            self._closed = True
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()

    def _take(self) -> sqlite3.Connection:
        with self._gate:
            if self._closed:
                raise StorageError(f"{self._path} is closed")
            if self._idle:
                return self._idle.pop()
        return open_file(self._path, read_only=True)

    def _give(self, db: sqlite3.Connection) -> None:
        with self._gate:
            if not self._closed:
                self._idle.append(db)
                return
        db.close()

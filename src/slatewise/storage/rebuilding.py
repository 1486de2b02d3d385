"""Writes a log file anew from its rows: indexes, checksums and free space made again. Nobody else may have it open."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slatewise.domain.errors import StorageError
from slatewise.storage import reading, schema
from slatewise.storage.mark import check_mark, read_mark
from slatewise.storage.readers import Readers
from slatewise.storage.sums import row_sum
from slatewise.storage.verifying import DICTIONARIES, ROWS, wrong

PAGE = 1_000


@dataclass(slots=True)
class Rebuilt:
    """What became of a log."""

    events: int = 0
    sealed: int = 0
    """Rows that had no checksum and have one now."""
    lost: int = 0
    """Events that were damaged and given up."""


def rebuild(path: Path, *, accept_loss: bool, check: Callable[[Path], None]) -> Rebuilt:
    """Replace the content of the log at *path* by a sound one; offsets and rows stay as they are.

    *check* is given the new file before it replaces the old content, and may raise. Raises StorageError where another
    process has the log open, where it cannot be read at all, and, unless *accept_loss*, where anything would be given
    up; the log is left as it is then. A crash leaves the old content or the new.
    """
    if not accept_loss:
        readers = Readers(path)
        check_mark(path, readers.borrow)
        readers.close()
    fresh = path.with_name(path.name + "-rebuilt")
    fresh.unlink(missing_ok=True)
    try:
        with closing(_alone(path)) as old:
            with closing(sqlite3.connect(fresh, isolation_level=None)) as new:
                rebuilt = _copied(old, new, path, accept_loss)
            check(fresh)
            with closing(sqlite3.connect(fresh, isolation_level=None)) as new:
                new.backup(old)
    except sqlite3.Error as error:
        raise StorageError(f"cannot rebuild {path}: {error}; restore a backup") from error
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
    return rebuilt


def _alone(path: Path) -> sqlite3.Connection:
    """Return a connection that keeps all others out until it is closed."""
    db = schema.open_file(path, read_only=False)
    try:
        db.execute("PRAGMA busy_timeout = 0")
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        # Leaving the write-ahead log folds it back, and takes that nobody else has the file open.
        mode = db.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
        db.execute("PRAGMA synchronous = FULL")
        db.execute("BEGIN EXCLUSIVE")
        db.execute("COMMIT")  # the lock stays
    except sqlite3.OperationalError as error:
        db.close()
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StorageError(f"{path} is open in another process: stop the server first") from error
        raise
    except BaseException:
        db.close()
        raise
    if mode != "delete":
        db.close()
        raise StorageError(f"{path} cannot be taken for one process (journal mode {mode})")
    return db


def _copied(old: sqlite3.Connection, new: sqlite3.Connection, path: Path, accept_loss: bool) -> Rebuilt:
    schema.check_format(old, path)
    rebuilt = Rebuilt()
    new.execute("BEGIN")
    schema.create(new)
    kept = old.execute("SELECT key, value FROM meta WHERE key NOT IN ('format', 'shape')").fetchall()
    new.executemany("INSERT INTO meta VALUES (?, ?)", kept)
    known = {table: _copy_dictionary(old, new, table, rebuilt, path, accept_loss) for table in DICTIONARIES}
    end = max(reading.end(old), read_mark(path))
    for row in _events(old, end, rebuilt):
        trouble = wrong(row, known)
        if trouble is None:
            fields = row[:10]
            try:
                new.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*fields, row_sum(fields)))
            except sqlite3.IntegrityError as error:
                trouble = str(error)
        if trouble is None:
            rebuilt.events += 1
            rebuilt.sealed += row[10] is None
        else:
            rebuilt.lost += 1
        if rebuilt.lost and not accept_loss:
            raise StorageError(f"{path}: event {row[0]}: {trouble or 'cannot be read'}; {_CHOICE}")
    if rebuilt.lost and not accept_loss:
        raise StorageError(f"{path}: {rebuilt.lost} events cannot be read; {_CHOICE}")
    # Offsets are never used twice, those of lost events included: bundles know how far they were trained.
    if end:
        new.execute("DELETE FROM sqlite_sequence WHERE name = 'log'")
        new.execute("INSERT INTO sqlite_sequence VALUES ('log', ?)", (end - 1,))
    new.execute("COMMIT")
    return rebuilt


_CHOICE = "restore a backup, or give up what is damaged with `slatewise rebuild --accept-loss`"


def _events(old: sqlite3.Connection, end: int, rebuilt: Rebuilt) -> Iterator[tuple[Any, ...]]:
    """Yield what can be read, page by page, and one by one where a page cannot."""
    start = 0
    while start < end:
        try:
            page = old.execute(f"{ROWS} WHERE offset >= ? ORDER BY offset LIMIT {PAGE}", (start,)).fetchall()
        except sqlite3.DatabaseError:
            page = []
            for offset in range(start, min(end, start + PAGE)):
                try:
                    page += old.execute(f"{ROWS} WHERE offset = ?", (offset,)).fetchall()
                except sqlite3.DatabaseError:
                    rebuilt.lost += 1
            yield from page
            start += PAGE
            continue
        if not page:
            return
        yield from page
        start = page[-1][0] + 1


def _copy_dictionary(
    old: sqlite3.Connection, new: sqlite3.Connection, table: str, rebuilt: Rebuilt, path: Path, accept_loss: bool
) -> set[int]:
    sound, place = set(), 0
    for *fields, summed in old.execute(DICTIONARIES[table]):
        is_sound = summed is None or summed == row_sum(fields)
        if (not is_sound or fields[0] != place) and not accept_loss:
            raise StorageError(f"{path}: {table}, row {place}: missing or damaged (checksum); {_CHOICE}")
        while place < fields[0]:  # rows are dense: what is lost keeps its place under a name of its own
            _insert(new, table, [place, f"lost {place}", 0][: len(fields)])
            place += 1
        _insert(new, table, fields if is_sound else [place, f"lost {place}", 0][: len(fields)])
        if is_sound:
            sound.add(place)
            rebuilt.sealed += summed is None
        place += 1
    return sound


def _insert(new: sqlite3.Connection, table: str, fields: list[Any]) -> None:
    marks = ", ".join("?" * (len(fields) + 1))
    new.execute(f"INSERT INTO {table} VALUES ({marks})", (*fields, row_sum(fields)))

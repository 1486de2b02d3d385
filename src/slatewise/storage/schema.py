"""The tables of the log file and how it is opened. Knows nothing of events."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from slatewise.domain.errors import StorageError
from slatewise.storage import wal
from slatewise.storage.sums import row_sum

FORMAT = 2
"""The number of this layout. An older one is upgraded when opened for writing, any other refused, never guessed at."""

BUSY_S = 10.0
"""How long a statement waits for another process's write."""

REPAIR = "see all of it with `slatewise doctor --verify`, then restore a backup or run `slatewise rebuild`"
"""What to do about a damaged log, for every message that tells of one."""

INTERACTION, IMPRESSION, ITEM_CHANGE, ITEM_REMOVAL, USER_CHANGE, USER_REMOVAL = range(6)
"""Values of ``log.kind``. The partial indexes below rely on their order."""

_TABLES = f"""
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE user_ids(row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, first INTEGER NOT NULL, sum INTEGER);
CREATE TABLE item_ids(row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, first INTEGER NOT NULL, sum INTEGER);
CREATE TABLE actions(code INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, sum INTEGER);
CREATE TABLE log(
    offset INTEGER PRIMARY KEY AUTOINCREMENT,
    kind INTEGER NOT NULL,
    user INTEGER,
    item INTEGER,
    action INTEGER,
    at REAL,
    value REAL,
    event_id TEXT,
    request_id TEXT,
    body TEXT,
    sum INTEGER
);
CREATE UNIQUE INDEX log_event_id ON log(event_id) WHERE event_id IS NOT NULL;
CREATE INDEX log_history ON log(user, at, offset, item, action) WHERE kind = {INTERACTION};
CREATE INDEX log_request ON log(request_id) WHERE kind = {INTERACTION} AND request_id IS NOT NULL;
CREATE INDEX log_facts ON log(kind, offset) WHERE kind > {INTERACTION};
CREATE INDEX log_user_facts ON log(user, kind, offset) WHERE kind >= {USER_CHANGE};
INSERT INTO meta VALUES ('format', '{FORMAT}');
"""

_FROM_1 = """
ALTER TABLE user_ids ADD COLUMN sum INTEGER;
ALTER TABLE item_ids ADD COLUMN sum INTEGER;
ALTER TABLE actions ADD COLUMN sum INTEGER;
ALTER TABLE log ADD COLUMN sum INTEGER;
UPDATE meta SET value = '2' WHERE key = 'format';
"""
"""Costs no time: old rows have no sum until the log is rebuilt."""

_SHAPE = "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name"


def open_file(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Return a connection in autocommit mode that any thread may use, one at a time. Raises StorageError."""
    mode = "ro" if read_only else "rwc"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    try:
        db = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA temp_store = MEMORY")
        if read_only:
            db.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise StorageError(f"cannot open {path}: {error}") from error
    return db


def prepare(db: sqlite3.Connection, path: Path) -> wal.Tail:
    """Make the file ready for durable writes, creating the tables where it is new. Raises StorageError.

    Returns what the write-ahead log held: a torn tail is what a crash interrupted before it was acknowledged.
    """
    try:
        _use_wal(db)
        # FULL syncs the write-ahead log before every commit returns: what is acknowledged survives a power cut.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA cache_size = -65536")
        secure(db)
        # The writer folds the write-ahead log back itself: done by SQLite after a commit, its errors go unheard.
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.execute("PRAGMA journal_size_limit = 67108864")
        db.execute("BEGIN IMMEDIATE")
        try:
            # Nobody else appends now. What we append must not stand behind frames that a failed sync kept off the disk.
            tail = wal.scan(wal.wal_path(path))
            wal.write_again(wal.wal_path(path))
            if db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
                create(db)
            elif _format(db) == "1":
                _execute(db, _FROM_1)
                note_shape(db)
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"cannot use {path} as an event log: {error}") from error
    folder = path.absolute().parent
    _sync_folder(folder)
    with suppress(PermissionError):
        _sync_folder(folder.parent)  # the folder may be new as well
    return tail


def create(db: sqlite3.Connection) -> None:
    """Make the tables of an empty file, in the transaction that is open where one is."""
    secure(db)
    _execute(db, _TABLES)
    note_shape(db)


def secure(db: sqlite3.Connection) -> None:
    """Have zeros written over whatever is deleted. Copies that moving rows left behind stay: see `compact`."""
    db.execute("PRAGMA secure_delete = ON").fetchone()


def compact(db: sqlite3.Connection) -> None:
    """Write the whole file anew from its rows, outside a transaction: where pages merge or split, old copies remain.

    Needs the file's size twice more meanwhile, here and where temporary files go; other writers wait.
    """
    db.execute("PRAGMA temp_store = FILE")  # in memory, a large log would take all of it
    try:
        db.execute("VACUUM")
    finally:
        db.execute("PRAGMA temp_store = MEMORY")


def note_shape(db: sqlite3.Connection) -> None:
    """Write down what the tables and indexes are, after changing them: see `has_shape`."""
    db.execute("INSERT OR REPLACE INTO meta VALUES ('shape', ?)", (_shape(db),))


def has_shape(db: sqlite3.Connection) -> bool:
    """Return whether tables and indexes are what they were made as: a changed bit may alter what an index holds."""
    found = db.execute("SELECT value FROM meta WHERE key = 'shape'").fetchone()
    return found is not None and found[0] == _shape(db)


def _shape(db: sqlite3.Connection) -> str:
    return str(row_sum([field for row in db.execute(_SHAPE) for field in row]))


def check_format(db: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that is no event log of this format. Raises StorageError."""
    try:
        found = db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
    except sqlite3.Error as error:
        raise StorageError(f"{path} is not an event log: {error}") from error
    if found is None or found[0] != str(FORMAT):
        shown = "none" if found is None else found[0]
        raise StorageError(
            f"{path} has format {shown}; this version reads format {FORMAT} only, "
            "and upgrades format 1 when a HOME is opened for writing"
        )


def _format(db: sqlite3.Connection) -> str | None:
    try:
        found = db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
    except sqlite3.OperationalError:  # a database of something else: `check_format` refuses it
        return None
    return None if found is None else str(found[0])


def _execute(db: sqlite3.Connection, statements: str) -> None:
    for statement in statements.strip().split(";\n"):
        db.execute(statement)


def _use_wal(db: sqlite3.Connection) -> None:
    # Switching the mode does not wait for other connections by itself, and two processes may open a new file at once.
    for attempt in range(100):
        try:
            mode = db.execute("PRAGMA journal_mode").fetchone()[0]
            if mode != "wal":
                mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise StorageError(f"the file system offers no write-ahead log (journal mode {mode})")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or attempt == 99:
                raise
            time.sleep(0.05)


def _sync_folder(folder: Path) -> None:
    # A new file's name is durable only once its folder is.
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""The tables of the log file and how it is opened. Knows nothing of events."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from slatewise.domain.errors import StorageError

FORMAT = 1
"""The number of this layout. A file of another one is refused, never guessed at."""

BUSY_S = 10.0
"""How long a statement waits for another process's write."""

INTERACTION, IMPRESSION, ITEM_CHANGE, ITEM_REMOVAL, USER_CHANGE, USER_REMOVAL = range(6)
"""Values of ``log.kind``. The partial indexes below rely on their order."""

_TABLES = f"""
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE user_ids(row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, first INTEGER NOT NULL);
CREATE TABLE item_ids(row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, first INTEGER NOT NULL);
CREATE TABLE actions(code INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
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
    body TEXT
);
CREATE UNIQUE INDEX log_event_id ON log(event_id) WHERE event_id IS NOT NULL;
CREATE INDEX log_history ON log(user, at, offset, item, action) WHERE kind = {INTERACTION};
CREATE INDEX log_request ON log(request_id) WHERE kind = {INTERACTION} AND request_id IS NOT NULL;
CREATE INDEX log_facts ON log(kind, offset) WHERE kind > {INTERACTION};
CREATE INDEX log_user_facts ON log(user, kind, offset) WHERE kind >= {USER_CHANGE};
INSERT INTO meta VALUES ('format', '{FORMAT}');
"""


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


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make the file ready for durable writes, creating the tables where it is new. Raises StorageError."""
    try:
        _use_wal(db)
        # FULL syncs the write-ahead log before every commit returns: what is acknowledged survives a power cut.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA cache_size = -65536")
        db.execute("PRAGMA wal_autocheckpoint = 4000")
        db.execute("PRAGMA journal_size_limit = 67108864")
        db.execute("BEGIN IMMEDIATE")
        try:
            if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                for statement in _TABLES.strip().split(";\n"):
                    db.execute(statement)
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
    except sqlite3.Error as error:
        raise StorageError(f"cannot use {path} as an event log: {error}") from error
    _sync_folder(path.absolute().parent)


def check_format(db: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that is no event log of this format. Raises StorageError."""
    try:
        found = db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
    except sqlite3.Error as error:
        raise StorageError(f"{path} is not an event log: {error}") from error
    if found is None or found[0] != str(FORMAT):
        shown = "none" if found is None else found[0]
        raise StorageError(f"{path} has format {shown}; this version reads format {FORMAT} only")


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

"""Checks every row of a log file against its checksum and everything it refers to. Changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slatewise.domain.errors import StorageError
from slatewise.storage import reading, schema
from slatewise.storage.encoding import decode
from slatewise.storage.mark import check_mark, read_mark
from slatewise.storage.readers import Readers
from slatewise.storage.sums import row_sum
from slatewise.storage.wal import scan, wal_path

MOST = 20
"""Damages listed at most; the rest is counted."""

ROWS = "SELECT offset, kind, user, item, action, at, value, event_id, request_id, body, sum FROM log"
DICTIONARIES = {
    "user_ids": "SELECT row, id, first, sum FROM user_ids ORDER BY row",
    "item_ids": "SELECT row, id, first, sum FROM item_ids ORDER BY row",
    "actions": "SELECT code, name, sum FROM actions ORDER BY code",
}


@dataclass(slots=True)
class Verdict:
    """What is in a log file, and what is wrong with it."""

    events: int = 0
    end: int = 0
    unsealed: int = 0
    """Rows without a checksum, written before release 0.2; `slatewise rebuild` gives them one."""
    torn: int = 0
    """Frames of interrupted writes at the end of the write-ahead log: nobody was told of them."""
    damages: int = 0
    damage: list[str] = field(default_factory=list)
    """The first of them, each with its table and offset or row."""

    def found(self, what: str) -> None:
        self.damages += 1
        if len(self.damage) < MOST:
            self.damage.append(what)


def verify_log(path: Path) -> Verdict:
    """Read all of the log at *path*; others may be writing it. Damage is returned, not raised."""
    verdict = Verdict()
    readers = Readers(path)
    try:
        check_mark(path, readers.borrow)
        verdict.torn = scan(wal_path(path)).torn
        with readers.borrow() as db:
            schema.check_format(db, path)
            told = read_mark(path)  # before the snapshot, so that it is not ahead of it
            db.execute("BEGIN")  # one snapshot, whatever is written meanwhile
            try:
                _verify(db, told, verdict)
            finally:
                db.execute("ROLLBACK")
    except (StorageError, OSError) as error:
        verdict.found(str(error))
    finally:
        readers.close()
    return verdict


def _verify(db: sqlite3.Connection, told: int, verdict: Verdict) -> None:
    for (line,) in db.execute(f"PRAGMA integrity_check({MOST})"):
        if line != "ok":
            verdict.found(f"SQLite: {line}")
    if not schema.has_shape(db):
        verdict.found("meta: the tables or indexes are not what they were made as")
    known = {table: _dictionary(db, table, verdict) for table in DICTIONARIES}
    verdict.end = reading.end(db)
    last = 0
    for row in db.execute(f"{ROWS} ORDER BY offset"):
        last = row[0]
        verdict.events += 1
        verdict.unsealed += row[10] is None
        if trouble := wrong(row, known):
            verdict.found(f"log, offset {row[0]}: {trouble}")
    # A gap at the end is right where the newest events were erased: then the mark knows of them.
    is_unknown = 0 < told < verdict.end and last + 1 < verdict.end
    if last >= verdict.end or is_unknown:
        verdict.found(f"sqlite_sequence: says {verdict.end - 1}, the newest event has offset {last}")


def wrong(row: tuple[Any, ...], known: dict[str, set[int]]) -> str | None:
    """Return what is wrong with one of `ROWS`, None where nothing is."""
    kind, user, item, action, body, summed = row[1], row[2], row[3], row[4], row[9], row[10]
    if summed is not None and summed != row_sum(row[:10]):
        return "is not as it was written (checksum)"
    for table, code in (("user_ids", user), ("item_ids", item), ("actions", action)):
        if code is not None and code not in known[table]:
            return f"refers to {table} {code}, which is missing or damaged"
    if kind != schema.INTERACTION:
        try:
            decode(kind, body)
        except StorageError as error:
            return str(error)
    return None


def _dictionary(db: sqlite3.Connection, table: str, verdict: Verdict) -> set[int]:
    sound = set()
    for place, (*fields, summed) in enumerate(_rows(db, DICTIONARIES[table])):
        if summed is not None and summed != row_sum(fields):
            verdict.found(f"{table}, row {fields[0]}: is not as it was written (checksum)")
        elif fields[0] != place:
            verdict.found(f"{table}, row {place}: is missing")
            break
        else:
            sound.add(fields[0])
            verdict.unsealed += summed is None
    return sound


def _rows(db: sqlite3.Connection, statement: str) -> Iterator[tuple[Any, ...]]:
    yield from db.execute(statement)

"""Statements that translate between user ids and rows. For training and evaluation, not for requests."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from slatewise.domain.ids import Rows

PAGE = 500
WALK = 50_000


def read_ids(db: sqlite3.Connection, rows: Rows) -> list[str]:
    """Return the id in each row, empty where no user has it."""
    wanted = rows.tolist()
    found: dict[int, str] = {}
    for lo in range(0, len(wanted), PAGE):
        part = wanted[lo : lo + PAGE]
        marks = ",".join("?" * len(part))
        found.update(db.execute(f"SELECT row, id FROM user_ids WHERE row IN ({marks})", part))
    return [found.get(row, "") for row in wanted]


def read_rows(db: sqlite3.Connection, ids: Collection[str]) -> dict[str, int]:
    """Return the row of every id that has one."""
    wanted = list(ids)
    found: dict[str, int] = {}
    for lo in range(0, len(wanted), PAGE):
        part = wanted[lo : lo + PAGE]
        marks = ",".join("?" * len(part))
        found.update(db.execute(f"SELECT id, row FROM user_ids WHERE id IN ({marks})", part))
    return found


def read_page(db: sqlite3.Connection, after: int) -> list[tuple[int, str]]:
    """Return up to `WALK` ``(row, id)`` behind the row *after*, in order of rows."""
    return db.execute("SELECT row, id FROM user_ids WHERE row > ? ORDER BY row LIMIT ?", (after, WALK)).fetchall()

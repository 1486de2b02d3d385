"""Checks that the tables of a log agree with each other. Changes nothing. Whether bytes rotted, the server knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg import Connection

# Each finds what is wrong, in one snapshot with the others; nothing where all is well.
_CHECKS = {
    "head: says {0}, the newest event has offset {1}": """
        SELECT h.place, l.place FROM {s}.head h, (SELECT coalesce(max(place), 0) AS place FROM {s}.log) l
        WHERE l.place <> h.place
    """,
    "user_ids: {1} rows, the newest is {2}, head says {0}": """
        SELECT h.users, d.rows, d.newest FROM {s}.head h,
            (SELECT count(*) AS rows, coalesce(max(row), -1) AS newest FROM {s}.user_ids) d
        WHERE d.rows <> h.users OR d.newest <> h.users - 1
    """,
    "item_ids: {1} rows, the newest is {2}, head says {0}": """
        SELECT h.items, d.rows, d.newest FROM {s}.head h,
            (SELECT count(*) AS rows, coalesce(max(row), -1) AS newest FROM {s}.item_ids) d
        WHERE d.rows <> h.items OR d.newest <> h.items - 1
    """,
    "log, offset {0}: refers to a user, item or action that is missing": """
        SELECT l.place FROM {s}.log l LEFT JOIN {s}.user_ids u ON u.row = l.user_row
        LEFT JOIN {s}.item_ids i ON i.row = l.item_row LEFT JOIN {s}.actions a ON a.code = l.action
        WHERE (l.user_row IS NOT NULL AND u.row IS NULL) OR (l.item_row IS NOT NULL AND i.row IS NULL)
            OR (l.action IS NOT NULL AND a.code IS NULL)
        ORDER BY l.place LIMIT 20
    """,
}


def damage(db: Connection, schema: str) -> list[str]:
    """Return what is wrong with the tables, one line each, the first of every kind."""
    found = []
    with db.transaction():
        db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for told, statement in _CHECKS.items():
            found += [told.format(*row) for row in db.execute(statement.format(s=schema))]
    return found


def has_checksums(db: Connection) -> bool:
    """Whether the server notices pages that its disk changed."""
    return db.execute("SHOW data_checksums").fetchone() == ("on",)

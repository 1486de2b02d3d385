"""Takes every byte of one user out of the log file, inside the writer's transaction. Holds no connection.

Rows of a dictionary are dense and never used twice, so the user's row stays, under a name made of chance that leads to
nobody. The same goes for the event that first named an item: followers give rows in that order. It stays as an
interaction of that nobody, without time, value and names. All other rows are deleted, and SQLite writes zeros over
them; copies of rows that had moved are gone once the file is compacted. A removal at the log's end tells followers.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
from dataclasses import dataclass

from slatewise.domain.erasure import Erased
from slatewise.domain.events import UserRemoval
from slatewise.storage import reading, schema
from slatewise.storage.encoding import encode
from slatewise.storage.sums import row_sum

_PLACEHOLDER = re.compile(r"erased-[0-9]+-[0-9a-f]{32}")

_ROW = "SELECT row, first FROM user_ids WHERE id = ?"
_INTERACTIONS = f"SELECT offset FROM log WHERE kind = {schema.INTERACTION} AND user = ?"
_SHOWN = f"""
SELECT offset FROM log
WHERE kind > {schema.INTERACTION} AND kind = {schema.IMPRESSION} AND user = ? AND offset >= ? AND offset < ?
"""
_FACTS = f"SELECT offset FROM log WHERE kind >= {schema.USER_CHANGE} AND user = ?"
_NAMING = """
SELECT l.offset, l.kind, l.user, l.item, l.action FROM log l JOIN item_ids i ON i.row = l.item AND i.first = l.offset
WHERE l.offset = ?
"""
_BLANK = "UPDATE log SET at = NULL, value = 1.0, event_id = NULL, request_id = NULL, sum = ? WHERE offset = ?"
_REMOVAL = "INSERT INTO log(offset, kind, user, at, body, sum) VALUES (?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Shown:
    """Offsets of a user's impressions below ``end``: no index leads to them, so they are looked for beforehand."""

    end: int
    offsets: tuple[int, ...]


def is_placeholder(user_id: str) -> bool:
    """Return whether this is what an erased user's row is called."""
    return _PLACEHOLDER.fullmatch(user_id) is not None


def new_placeholder(row: int) -> str:
    """Return a name for an erased user's row that leads to nobody."""
    return f"erased-{row}-{secrets.token_hex(16)}"


def find_shown(db: sqlite3.Connection, user_id: str) -> Shown:
    """Look for the user's impressions as of now, while others write."""
    end = reading.end(db)
    found = db.execute(_ROW, (user_id,)).fetchone()
    return Shown(end, () if found is None else tuple(o for (o,) in db.execute(_SHOWN, (found[0], 0, end))))


def erase(db: sqlite3.Connection, user_id: str, at: float, shown: Shown) -> Erased | None:
    """Erase the user in the open transaction, at the instant *at*; None where the log does not know the id."""
    found = db.execute(_ROW, (user_id,)).fetchone()
    if found is None:
        return None
    user, first = found
    interactions = db.execute(_INTERACTIONS, (user,)).fetchall()
    impressions = [*((o,) for o in shown.offsets), *db.execute(_SHOWN, (user, shown.end, reading.FOR_EVER)).fetchall()]
    facts = db.execute(_FACTS, (user,)).fetchall()
    naming = {offset for (offset,) in interactions if _blanked(db, offset)}
    db.executemany(
        "DELETE FROM log WHERE offset = ?", [o for o in (*interactions, *impressions, *facts) if o[0] not in naming]
    )
    placeholder = new_placeholder(user)
    db.execute(
        "UPDATE user_ids SET id = ?, sum = ? WHERE row = ?", (placeholder, row_sum((user, placeholder, first)), user)
    )
    offset = max(1, reading.end(db))
    (removal,) = encode([UserRemoval(at=at, user_id=placeholder)], ())
    row = (offset, removal.kind, user, None, None, removal.at, None, None, None, removal.body)
    db.execute(_REMOVAL, (offset, removal.kind, user, removal.at, removal.body, row_sum(row)))
    db.execute("INSERT INTO meta VALUES ('erased', '1') ON CONFLICT(key) DO UPDATE SET value = value + 1")
    return Erased(len(interactions), len(impressions), len(facts), offset + 1)


def _blanked(db: sqlite3.Connection, offset: int) -> bool:
    """Take all but the item from the interaction that first named it; False where it is another."""
    naming = db.execute(_NAMING, (offset,)).fetchone()
    if naming is None:
        return False
    summed = row_sum((*naming, None, 1.0, None, None, None))
    db.execute(_BLANK, (summed, offset))
    return True


def erasures(db: sqlite3.Connection) -> int:
    """Return how many users were erased, by whichever process: when it grows, remembered rows of ids are void."""
    found = db.execute("SELECT value FROM meta WHERE key = 'erased'").fetchone()
    return int(found[0]) if found else 0

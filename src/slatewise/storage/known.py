"""Which events of a batch the log holds already, by their ids. Holds no connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from slatewise.domain.errors import Conflict
from slatewise.storage.encoding import EncodedEvent

_KNOWN = """
SELECT l.event_id, u.id, i.id, a.name, l.value FROM log l
LEFT JOIN user_ids u ON u.row = l.user LEFT JOIN item_ids i ON i.row = l.item LEFT JOIN actions a ON a.code = l.action
WHERE l.event_id IN (SELECT value FROM json_each(?))
"""


def without_known(db: sqlite3.Connection, events: Sequence[EncodedEvent]) -> Sequence[EncodedEvent]:
    """Return the events whose ids are neither in the log nor earlier among *events*.

    Raises Conflict where the known one says something else: another user, item, action or value. The time and the
    request are not compared: a door fills in the time where the caller left it out, at each retry another one.
    """
    named = [event.event_id for event in events if event.event_id is not None]
    if not named:
        return events
    known = {row[0]: row[1:] for row in db.execute(_KNOWN, (msgspec.json.encode(named).decode(),))}
    if not known and len(set(named)) == len(named):
        return events
    fresh = []
    for place, event in enumerate(events):
        if event.event_id is not None:
            said = (event.user_id, event.item_id, event.action, event.value)
            if known.setdefault(event.event_id, said) is not said:
                if known[event.event_id] != said:
                    raise Conflict(f"events[{place}].event_id", event.event_id, "an id that no other event has")
                continue
        fresh.append(event)
    return fresh

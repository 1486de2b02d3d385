"""Which events of a batch the log holds already, by their ids. Holds no connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from slatewise.domain.errors import Conflict
from slatewise.storage.encoding import EncodedEvent

Said = tuple[str | None, str | None, str | None, float | None]
"""What an event_id stands for: user, item, action, value."""

_KNOWN = """
SELECT l.event_id, u.id, i.id, a.name, l.value FROM log l
LEFT JOIN user_ids u ON u.row = l.user LEFT JOIN item_ids i ON i.row = l.item LEFT JOIN actions a ON a.code = l.action
WHERE l.event_id IN (SELECT value FROM json_each(?))
"""


def without_known(db: sqlite3.Connection, events: Sequence[EncodedEvent]) -> Sequence[EncodedEvent]:
    """Return the events whose ids are neither in the log nor earlier among *events*. Raises Conflict as `without`."""
    named = [event.event_id for event in events if event.event_id is not None]
    if not named:
        return events
    known = {row[0]: row[1:] for row in db.execute(_KNOWN, (msgspec.json.encode(named).decode(),))}
    if not known and len(set(named)) == len(named):
        return events
    return without(events, known)


def without(events: Sequence[EncodedEvent], known: dict[str, Said]) -> Sequence[EncodedEvent]:
    """Return the events whose ids are neither *known* nor earlier among *events*, and add theirs to *known*.

    Raises Conflict where the known one says something else: another user, item, action or value; *known* is then as it
    was. The time and the request are not compared: a door fills in the time where the caller left it out, at each retry
    another one.
    """
    fresh, added = [], dict[str, Said]()
    for place, event in enumerate(events):
        if event.event_id is not None:
            said = (event.user_id, event.item_id, event.action, event.value)
            before = known.get(event.event_id) or added.get(event.event_id)
            if before is not None:
                if before != said:
                    raise Conflict(f"events[{place}].event_id", event.event_id, "an id that no other event has")
                continue
            added[event.event_id] = said
        fresh.append(event)
    known.update(added)
    return fresh

"""Ids get dense rows in order of first appearance. Knows no statement; used by one thread only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from slatewise.storage.encoding import EncodedEvent

CACHED_IDS = 500_000
"""Ids kept in memory at most, some 200 bytes each; past it the cache starts anew and asks the table."""


class RowGiver:
    """Ids to rows, inside the writer's transactions. Rows never change, so what is cached is right until `forget`."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._given: list[tuple[int, str, int]] = []
        self._taken = 0
        self._next = -1

    def missing(self, ids: Iterable[str | None]) -> list[str]:
        """Return which of these ids are not in memory, once each: look them up and `learn` them before `row`."""
        return [i for i in dict.fromkeys(ids) if i is not None and i not in self._rows]

    def learn(self, found: Iterable[tuple[str, int]], next_row: Callable[[], int]) -> None:
        """Take what the table says of missing ids. *next_row* is asked once per transaction."""
        self._rows.update(found)
        if self._next < 0:
            self._next = next_row()

    def row(self, id: str, offset: int) -> int:
        """Return the row of a learnt id, giving it one where the event at *offset* is the first to name it."""
        row = self._rows.get(id)
        if row is None:
            row = self._next
            self._next += 1
            self._rows[id] = row
            self._given.append((row, id, offset))
        return row

    def take_given(self) -> list[tuple[int, str, int]]:
        """Return ``(row, id, offset)`` of the rows given since the last call, to be written in this transaction."""
        fresh = self._given[self._taken :]
        self._taken = len(self._given)
        return fresh

    def forget(self) -> None:
        """Ask the table again for every id: one of them lost its row."""
        self._rows.clear()

    def settle(self, *, committed: bool) -> None:
        """End the transaction: keep what it gave, or forget it."""
        if not committed:
            for _, id, _ in self._given:
                self._rows.pop(id, None)
        self._given = []
        self._taken = 0
        self._next = -1  # another process may give rows before our next transaction
        if len(self._rows) > CACHED_IDS:
            self._rows.clear()


def numbered(
    events: Sequence[EncodedEvent], offset: int, users: RowGiver, items: RowGiver, actions: Mapping[str, int]
) -> list[tuple[Any, ...]]:
    """Return table rows of the events, whose offsets follow *offset*. Their ids must be learnt.

    Columns: offset, kind, user, item, action, at, value, event_id, request_id, body.
    """
    rows = []
    for kind, user_id, item_id, action, at, value, event_id, request_id, body in events:
        offset += 1
        user = None if user_id is None else users.row(user_id, offset)
        item = None if item_id is None else items.row(item_id, offset)
        code = None if action is None else actions[action]
        rows.append((offset, kind, user, item, code, at, value, event_id, request_id, body))
    return rows

"""A plain event log in memory: the oracle for the durable one, and enough for tests that need no disk."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from slatewise.domain.columns import Interactions
from slatewise.domain.errors import Conflict, InputError, StorageError
from slatewise.domain.events import (
    Event,
    Impression,
    Interaction,
    ItemChange,
    ItemRemoval,
    Receipt,
    Stored,
    UserRemoval,
)


class MemoryLog:
    """Events in a list. As slow and as plain as the port's words."""

    def __init__(self, action_names: Sequence[str]) -> None:
        self._actions = tuple(action_names)
        self._events: list[Stored] = []
        self._said: dict[str, tuple[object, ...]] = {}
        self._users: dict[str, int] = {}
        self._items: dict[str, int] = {}
        self._gate = threading.Lock()
        self._closed = False

    @property
    def end(self) -> int:
        return self._events[-1].offset + 1 if self._events else 0

    def glance(self) -> int | None:
        return self.end

    @property
    def trouble(self) -> str | None:
        return None

    def append(self, events: Sequence[Event]) -> Receipt:
        with self._gate:
            if self._closed:
                raise StorageError("the log is closed")
            for i, event in enumerate(events):
                self._check(i, event)
            self._refuse_conflicts(events)
            accepted = sum(self._append(event) for event in events)
            return Receipt(accepted=accepted, duplicates=len(events) - accepted, version=self.end)

    def read(self, start: int = 0, stop: int | None = None, *, impressions: bool = True) -> Iterator[Stored]:
        held = [s for s in self._events if impressions or not isinstance(s.event, Impression)]
        yield from [s for s in held if start <= s.offset and (stop is None or s.offset < stop)]

    def interactions(self, start: int = 0, stop: int | None = None) -> Interactions:
        found = [(s, s.event) for s in self._visible(start, stop) if isinstance(s.event, Interaction)]
        return Interactions(
            offset=np.array([s.offset for s, _ in found], np.int64),
            user=np.array([s.user for s, _ in found], np.int64),
            item=np.array([s.item for s, _ in found], np.int64),
            action=np.array([self._actions.index(e.action) for _, e in found], np.int64),
            at=np.array([np.nan if e.at is None else e.at for _, e in found], np.float64),
            value=np.array([e.value for _, e in found], np.float32),
        )

    def impressions(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Impression]]:
        for stored in self._visible(start, stop):
            if isinstance(stored.event, Impression):
                yield stored.offset, stored.event

    def clicks(self) -> Mapping[str, Sequence[tuple[int, int]]]:
        found: dict[str, list[tuple[int, int]]] = {}
        for stored in self._visible(0, None):
            event = stored.event
            if isinstance(event, Interaction) and event.request_id is not None:
                found.setdefault(event.request_id, []).append((stored.item, self._actions.index(event.action)))
        return found

    def close(self) -> None:
        self._closed = True

    def _check(self, i: int, event: Event) -> None:
        if not isinstance(event, Interaction):
            return
        if event.action not in self._actions:
            raise InputError(f"events[{i}].action", event.action, f"one of {', '.join(self._actions)}")
        if not math.isfinite(event.value) or (event.at is not None and not math.isfinite(event.at)):
            raise InputError(f"events[{i}]", event, "finite numbers")

    def _refuse_conflicts(self, events: Sequence[Event]) -> None:
        known = dict(self._said)
        for i, event in enumerate(events):
            if not isinstance(event, Interaction) or event.event_id is None:
                continue
            if known.setdefault(event.event_id, _said(event)) != _said(event):
                raise Conflict(f"events[{i}].event_id", event.event_id, "an id that no other event has")

    def _append(self, event: Event) -> bool:
        user = item = -1
        if isinstance(event, Interaction) and event.event_id is not None:
            if event.event_id in self._said:
                return False
            self._said[event.event_id] = _said(event)
        if isinstance(event, Interaction | ItemChange | ItemRemoval):
            item = self._items.setdefault(event.item_id, len(self._items))
        if not isinstance(event, ItemChange | ItemRemoval) and event.user_id:
            user = self._users.setdefault(event.user_id, len(self._users))
        self._events.append(Stored(len(self._events) + 1, event, user, item))
        return True

    def _visible(self, start: int, stop: int | None) -> list[Stored]:
        removed = {s.user: s.offset for s in self._events if isinstance(s.event, UserRemoval)}
        return [s for s in self.read(start, stop) if s.offset > removed.get(s.user, 0)]


def _said(event: Interaction) -> tuple[object, ...]:
    return event.user_id, event.item_id, event.action, event.value

"""One digest per store: what the stores say, and what the log alone says they must. Equal digests, equal answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import islice

import msgspec
import numpy as np

from slatewise.domain.events import Interaction, Stored, UserChange, UserRemoval
from slatewise.domain.settings import Settings
from slatewise.ports.stores import LogStore
from slatewise.storage.catalogue import LiveCatalogue
from slatewise.storage.users import LiveUsers

CHUNK = 2_000

_spell = msgspec.json.Encoder(order="sorted").encode


class _Digest:
    def __init__(self) -> None:
        self._sum = hashlib.sha256()

    def add(self, *fields: object) -> None:
        self._sum.update(_spell(fields) + b"\n")

    def hex(self) -> str:
        return self._sum.hexdigest()


def stored_digests(log: LogStore, settings: Settings) -> dict[str, str]:
    """Return the digests of events, catalogue and users as they are served: by tables, indexes and dictionaries."""
    events, users = _Digest(), _Digest()
    live = LiveUsers(log, settings.storage, settings.seen_actions)
    named: dict[str, None] = {}
    for stored in log.read():
        _add_event(events, stored)
        named |= dict.fromkeys(_users_of(stored))
    for user_id in named:
        state = live.state(user_id)
        history = state.history
        steps = zip(history.row.tolist(), history.action.tolist(), _times(history.at), strict=True)
        change = live.change(user_id)
        users.add(user_id, list(steps), sorted(state.seen.tolist()), change.attributes if change else None)
    return {"events": events.hex(), "catalogue": _catalogue(LiveCatalogue.load(log)), "users": users.hex()}


def folded_digests(log: LogStore, settings: Settings) -> dict[str, str]:
    """Return the same digests from nothing but the events, folded one after the other."""
    events, users, catalogue = _Digest(), _Digest(), LiveCatalogue()
    steps: dict[str, list[tuple[float, int, int, int]]] = {}
    changes: dict[str, UserChange | None] = {}
    index = {name: i for i, name in enumerate(log.action_names)}
    source = iter(log.read())
    while chunk := list(islice(source, CHUNK)):
        catalogue.follow(chunk)
        for stored in chunk:
            event = stored.event
            _add_event(events, stored)
            for user_id in _users_of(stored):
                steps.setdefault(user_id, [])
            if isinstance(event, Interaction):
                at = -np.inf if event.at is None else event.at
                steps[event.user_id].append((at, stored.offset, stored.item, index[event.action]))
            elif isinstance(event, UserChange):
                changes[event.user_id] = event
            elif isinstance(event, UserRemoval):
                steps[event.user_id], changes[event.user_id] = [], None
    for user_id, taken in steps.items():
        taken.sort()
        newest = taken[max(0, len(taken) - settings.storage.history_length) :]
        seen = {item for _, _, item, action in taken if action in settings.seen_actions}
        change = changes.get(user_id)
        told = [(item, action, at if np.isfinite(at) else None) for at, _, item, action in newest]
        users.add(user_id, told, sorted(seen), change.attributes if change else None)
    return {"events": events.hex(), "catalogue": _catalogue(catalogue), "users": users.hex()}


def _add_event(digest: _Digest, stored: Stored) -> None:
    digest.add(stored.offset, stored.user, stored.item, type(stored.event).__name__, stored.event)


def _users_of(stored: Stored) -> list[str]:
    event = stored.event
    return [event.user_id] if isinstance(event, Interaction | UserChange | UserRemoval) else []


def _times(at: Iterable[float]) -> list[float | None]:
    return [float(t) if np.isfinite(t) else None for t in at]


def _catalogue(catalogue: LiveCatalogue) -> str:
    digest = _Digest()
    rows = np.arange(len(catalogue), dtype=np.int64)
    available, created = catalogue.available, _times(catalogue.created_at)
    for row, item_id in enumerate(catalogue.ids(rows)):
        digest.add(item_id, bool(available[row]), created[row], catalogue.exists(row), catalogue.item(row))
    return digest.hex()

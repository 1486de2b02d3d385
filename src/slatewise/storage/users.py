"""What each user did and is: read from the log when asked, kept in a bounded cache. Knows no catalogue."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import cachebox
import numpy as np

from slatewise.domain.events import Interaction, Stored, UserChange, UserRemoval
from slatewise.domain.facts import UserFacts
from slatewise.domain.ids import Rows
from slatewise.domain.query import ANONYMOUS, UserState
from slatewise.domain.settings import StorageSettings
from slatewise.ports.stores import LogStore
from slatewise.storage.erasing import is_placeholder


@dataclass(frozen=True, slots=True)
class KnownUser:
    """All that is kept of one user. ``change`` is None where nobody described them."""

    state: UserState
    change: UserChange | None


NOBODY = KnownUser(ANONYMOUS, None)


class LiveUsers:
    """Users as of the last followed event. Thread-safe; one thread at a time may `follow`.

    Starts at the end of the log. Every answer reflects exactly the events below `followed`, so a user never shows an
    item that the other followers have yet to meet. A user's ``version`` ignores impressions: what was shown changes
    neither history nor attributes.
    """

    def __init__(self, log: LogStore, settings: StorageSettings, seen_actions: Iterable[int]) -> None:
        self._log = log
        self._length = settings.history_length
        self._seen_actions = frozenset(seen_actions)
        self._action_index = {name: i for i, name in enumerate(log.action_names)}
        self._gate = threading.Lock()
        self._followed = log.end
        self._cache: cachebox.LRUCache[str, KnownUser] = cachebox.LRUCache(max(1, settings.cached_users))
        self._loading: dict[str, object] = {}

    @property
    def followed(self) -> int:
        """The version up to which the log is reflected: follow on from here."""
        return self._followed

    def state(self, user_id: str) -> UserState:
        return self._known(user_id).state

    def glance(self, user_id: str) -> int | None:
        # Without the gate, which is held for as long as a whole batch of events is folded.
        known = self._cache.get(user_id)
        return None if known is None else known.state.version

    def change(self, user_id: str) -> UserChange | None:
        return self._known(user_id).change

    def knows(self, user_id: str) -> bool:
        known = self._known(user_id)
        return known.change is not None or len(known.state.seen) > 0 or len(known.state.history) > 0

    def attributes(self) -> Mapping[int, UserChange]:
        return self._log.user_changes(self._followed)

    def follow(self, events: Sequence[Stored]) -> None:
        """Fold events in log order; those below `followed` are known already."""
        with self._gate:
            for stored in events:
                event = stored.event
                if stored.offset < self._followed or not isinstance(event, Interaction | UserChange | UserRemoval):
                    continue
                user_id = event.user_id
                if is_placeholder(user_id):
                    self._drop_row(stored.user)
                # Whoever is reading this user read too early: the answer is right for them, but not to be kept.
                self._loading.pop(user_id, None)
                known = self._cache.pop(user_id, None)
                folded = None if known is None else self._folded(known, stored)
                if folded is not None:
                    self._cache[user_id] = folded
            if events:
                self._followed = max(self._followed, events[-1].offset + 1)

    def _drop_row(self, row: int) -> None:
        """Forget a user whose name is gone from the log, so that only the row says who it was."""
        self._loading.clear()
        for user_id in [user_id for user_id, known in self._cache.items() if known.state.row == row]:
            self._cache.pop(user_id, None)

    def _known(self, user_id: str) -> KnownUser:
        with self._gate:
            known = self._cache.get(user_id)
            if known is not None:
                return known
            ticket = object()
            self._loading[user_id] = ticket
            before = self._followed
        loaded = None
        try:
            loaded = self._read(user_id, before)
        finally:
            with self._gate:
                if self._loading.get(user_id) is ticket:
                    del self._loading[user_id]
                    if loaded is not None and loaded is not NOBODY:
                        self._cache[user_id] = loaded
        return loaded

    def _read(self, user_id: str, before: int) -> KnownUser:
        facts = self._log.user_facts(user_id, before)
        return NOBODY if facts is None else self._from_facts(facts)

    def _from_facts(self, facts: UserFacts) -> KnownUser:
        whole = facts.history
        state = UserState(
            row=facts.row,
            version=facts.last + 1 if facts.last else 0,
            history=whole.last(self._length),
            seen=np.unique(whole.row[np.isin(whole.action, list(self._seen_actions))]),
            attributes=facts.change.attributes if facts.change else {},
            since=facts.since,
        )
        return KnownUser(state, facts.change)

    def _folded(self, known: KnownUser, stored: Stored) -> KnownUser | None:
        """Return the user with one more event, None where only the log can say."""
        state, event = known.state, stored.event
        version = stored.offset + 1
        if isinstance(event, UserChange):
            return KnownUser(replace(state, version=version, attributes=event.attributes), event)
        if not isinstance(event, Interaction):
            return None
        newest = state.history.at[-1] if len(state.history) else np.nan
        at = np.nan if event.at is None else event.at
        # Unknown times come first, so after a known one only a known one, not older, goes to the end.
        if np.isfinite(newest) and not at >= newest:
            return None
        action = self._action_index[event.action]
        history = state.history.extended(stored.item, action, at).last(self._length)
        seen = state.seen
        if action in self._seen_actions:
            seen = _with(seen, stored.item)
        return KnownUser(replace(state, version=version, history=history, seen=seen), known.change)


def _with(rows: Rows, row: int) -> Rows:
    at = int(np.searchsorted(rows, row))
    return rows if at < rows.size and rows[at] == row else np.insert(rows, at, row)

"""The same slate once more while nothing that shapes it has changed: three versions are compared, and no stage runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TypeAlias

from cachebox import LRUCache

from slatewise.domain.query import Query
from slatewise.domain.slate import Slate
from slatewise.ports.clock import Clock
from slatewise.ports.stores import Catalogue, UserStore
from slatewise.serving.canonical import canonical

AGE_MS = 5000.0
"""A slate is composed anew at least so often, from what the cache keeps: it outlives that by so much at most."""
KEPT = 2000
"""Slates held at most."""

_ASKED = frozenset({"request_id", "at", "size", "user_id", "context", "deadline_ms"})
_PLAIN = Query(request_id="", at=0.0)
_UNASKED = tuple((field.name, getattr(_PLAIN, field.name)) for field in fields(Query) if field.name not in _ASKED)
"""Every other field and what it holds where nothing was asked by it, fields to come included."""

Plain: TypeAlias = tuple[str | None, int, str]
"""A plain question: all that it asks."""
_Stamp: TypeAlias = tuple[str | None, int | None, int]


@dataclass(frozen=True, slots=True)
class Kept:
    """A slate from the cache, the query that it was composed for, and under what."""

    query: Query
    slate: Slate
    stamp: _Stamp
    since_ms: float


def plain(query: Query) -> Plain | None:
    """Return the plain question that a query asks, None for one that asks more."""
    if any(getattr(query, name) != usual for name, usual in _UNASKED):
        return None
    return (query.user_id, query.size, canonical(query.context) if query.context else "")


class Repeats:
    """Answers plain questions of the last seconds from their last answer; hands on all others to *recommend*.

    A hit of the result cache still runs the filters and the reranker. Their outcome follows from the user's version,
    the catalogue's and the bundle, which are read again here each time, and from chance: where places are *explored*,
    nothing is repeated, for each slate has a draw of its own. Versions are read before the slate that is kept under
    them is composed, so it may be newer than they say, never older.

    Only what the cache answers is kept, and from the third time it is asked: who asks once pays nothing. Thread-safe.
    """

    def __init__(
        self,
        recommend: Callable[[Query], Slate],
        *,
        bundle: Callable[[], str],
        bundle_at_once: Callable[[], str | None],
        users: UserStore,
        catalogue: Catalogue,
        clock: Clock,
        explored: bool = False,
    ) -> None:
        self._recommend = recommend
        self._bundle, self._bundle_at_once = bundle, bundle_at_once
        self._users, self._catalogue, self._clock = users, catalogue, clock
        # None for a question that was asked twice.
        self._kept: LRUCache[Plain, Kept | None] | None = None if explored else LRUCache(KEPT)

    def recommend(self, query: Query) -> Slate:
        """Return a slate. Raises what *recommend* raises."""
        kept = self._kept
        asked = None if kept is None else plain(query)
        if kept is None or asked is None:
            return self._recommend(query)
        begun = self._clock.elapsed_ms()
        if asked not in kept:
            slate = self._recommend(query)
            if slate.cached:
                kept[asked] = None
            return slate
        held = kept.get(asked)
        user = 0 if query.user_id is None else self._users.state(query.user_id).version
        stamp = (self._bundle(), user, self._catalogue.version)
        if held is not None and held.stamp == stamp and self._is_young(held, query.at, begun):
            taken = {"total": self._clock.elapsed_ms() - begun}
            return replace(held.slate, request_id=query.request_id, timing_ms=taken)
        slate = self._recommend(query)
        if slate.cached and not slate.degraded:
            kept[asked] = Kept(query, slate, stamp, begun)
        return slate

    def at_once(self, asked: Plain) -> Kept | None:
        """Return what answers a plain question once more, None where that cannot be told without waiting.

        For who knows that users, catalogue and bundle reflect all that was acknowledged before the question came.
        """
        held = None if self._kept is None else self._kept.get(asked)
        if held is None:
            return None
        user = 0 if asked[0] is None else self._users.glance(asked[0])
        if held.stamp != (self._bundle_at_once(), user, self._catalogue.version):
            return None
        return held if self._is_young(held, self._clock.now(), self._clock.elapsed_ms()) else None

    def clear(self) -> None:
        """Keep nothing of what was kept so far."""
        if self._kept is not None:
            self._kept.clear()

    def _is_young(self, held: Kept, at: float, now_ms: float) -> bool:
        return now_ms - held.since_ms <= AGE_MS and abs(at - held.query.at) * 1000.0 <= AGE_MS

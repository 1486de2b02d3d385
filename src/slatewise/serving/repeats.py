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

AGE_MS = 1000.0
"""A slate is composed anew at least so often: what others do now may move it a little."""
KEPT = 2000
"""Slates held at most."""

_ASKED = frozenset({"request_id", "at", "size", "user_id", "context", "deadline_ms"})
_PLAIN = Query(request_id="", at=0.0)
_UNASKED = tuple((field.name, getattr(_PLAIN, field.name)) for field in fields(Query) if field.name not in _ASKED)
"""Every other field and what it holds where nothing was asked by it, fields to come included."""

_Key: TypeAlias = tuple[str | None, int, str]
_Stamp: TypeAlias = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A slate from the cache with what it was composed under; none yet for a question that was asked twice."""

    stamp: _Stamp | None = None
    slate: Slate | None = None
    at: float = 0.0
    since_ms: float = 0.0


class Repeats:
    """Answers plain questions of the last second from their last answer; hands on all others to *recommend*.

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
        users: UserStore,
        catalogue: Catalogue,
        clock: Clock,
        explored: bool = False,
    ) -> None:
        self._recommend = recommend
        self._bundle, self._users, self._catalogue, self._clock = bundle, users, catalogue, clock
        self._kept: LRUCache[_Key, _Kept] | None = None if explored else LRUCache(KEPT)

    def recommend(self, query: Query) -> Slate:
        """Return a slate. Raises what *recommend* raises."""
        kept = self._kept
        if kept is None or any(getattr(query, name) != usual for name, usual in _UNASKED):
            return self._recommend(query)
        begun = self._clock.elapsed_ms()
        key = (query.user_id, query.size, canonical(query.context) if query.context else "")
        held = kept.get(key)
        if held is None:
            slate = self._recommend(query)
            if slate.cached:
                kept[key] = _Kept()
            return slate
        stamp = self._stamp(query)
        if held.slate is not None and held.stamp == stamp and self._is_young(held, query, begun):
            taken = {"total": self._clock.elapsed_ms() - begun}
            return replace(held.slate, request_id=query.request_id, timing_ms=taken)
        slate = self._recommend(query)
        if slate.cached and not slate.degraded:
            kept[key] = _Kept(stamp, slate, query.at, begun)
        return slate

    def clear(self) -> None:
        """Keep nothing of what was kept so far."""
        if self._kept is not None:
            self._kept.clear()

    def _stamp(self, query: Query) -> _Stamp:
        user = 0 if query.user_id is None else self._users.state(query.user_id).version
        return self._bundle(), user, self._catalogue.version

    def _is_young(self, held: _Kept, query: Query, now_ms: float) -> bool:
        return now_ms - held.since_ms <= AGE_MS and abs(query.at - held.at) * 1000.0 <= AGE_MS

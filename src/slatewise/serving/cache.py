"""The result cache: what was ranked for whom, under which versions. Knows nothing of stages."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias

from cachebox import LRUCache

from slatewise.domain.settings import CacheSettings
from slatewise.ports.clock import Clock
from slatewise.serving.canonical import canonical
from slatewise.serving.recommender import Held
from slatewise.serving.resolve import Resolution

CacheKey: TypeAlias = tuple[str, str | None, int, int, bytes]
"""Bundle, user, user version, catalogue version, and a digest of all else that shapes a slate."""


def cache_key(bundle: str, rules: str, resolution: Resolution) -> CacheKey:
    """Return the key under which a slate for *resolution* may be kept and found.

    Everything comes from the resolution that the slate is computed from, so a slate cannot land under newer versions
    than it reflects. The digest covers the settings' *rules* and the query's size, conditions, context, exclusions, and
    the history or vector that it gives itself; not its instant, request id, deadline, or wish to be explained.
    """
    resolved = resolution.resolved
    query, user = resolved.query, resolved.user
    text = f"{rules}\n{query.size}\n{canonical(query.where)}\n{canonical(query.context)}".encode()
    parts = [text, resolved.blocked.tobytes()]
    if query.vector is not None and resolved.vector is not None:
        parts += [b"vector", resolved.vector.tobytes()]
    if query.history is not None:
        history = user.history
        parts += [b"history", history.row.tobytes(), history.action.tobytes(), history.at.tobytes()]
        parts += [user.seen.tobytes()]
    digest = blake2b(digest_size=16)
    for part in parts:
        # With its length before it, no part can be mistaken for the end of another.
        digest.update(struct.pack("<q", len(part)))
        digest.update(part)
    return bundle, query.user_id, user.version, resolution.catalogue_version, digest.digest()


@dataclass(frozen=True, slots=True)
class _Entry:
    held: Held
    at: float
    stored_ms: float


class ResultCache:
    """Keeps the latest used slates for a while. Thread-safe. Size 0 keeps nothing."""

    def __init__(self, settings: CacheSettings, clock: Clock) -> None:
        self._ttl_s = settings.ttl_s
        self._clock = clock
        self._entries: LRUCache[CacheKey, _Entry] | None = LRUCache(settings.size) if settings.size > 0 else None

    def __len__(self) -> int:
        return 0 if self._entries is None else len(self._entries)

    def find(self, key: CacheKey, at: float) -> Held | None:
        """Return what is kept for *key*, unless it is too old or was made for an instant too far from *at*."""
        if self._entries is None:
            return None
        entry = self._entries.get(key)
        if entry is None:
            return None
        age_ms = self._clock.elapsed_ms() - entry.stored_ms
        if age_ms > self._ttl_s * 1000.0 or not abs(at - entry.at) <= self._ttl_s:
            return None
        return entry.held

    def keep(self, key: CacheKey, at: float, held: Held) -> None:
        """Keep a slate made for the instant *at*."""
        if self._entries is not None:
            self._entries[key] = _Entry(held, at, self._clock.elapsed_ms())

    def clear(self) -> None:
        """Forget everything."""
        if self._entries is not None:
            self._entries.clear()

"""The result cache: what was ranked for which question, under which versions. Bounded in bytes. Knows no stage."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from slatewise.domain.settings import CacheSettings
from slatewise.ports.cache import CacheWatch, NobodyWatches
from slatewise.ports.clock import Clock
from slatewise.serving.held import Held, pack, unpack

ENTRY_BYTES = 340
"""What one entry costs beside its packed slate: key, edition, two numbers, their objects and the table's own links.
Measured (`tests/serving/test_serving_cache_bytes.py`)."""


@dataclass(frozen=True, slots=True)
class _Entry:
    edition: bytes
    packed: bytes
    at: float
    stored_ms: float

    @property
    def size_bytes(self) -> int:
        return ENTRY_BYTES + len(self.packed)


class ResultCache:
    """Keeps the latest used slates for a while, one per question. Thread-safe. ``max_bytes`` 0 keeps nothing.

    A slate under other versions than asked for is not found, but `latest` still has it, however old, for those who
    would otherwise go without.
    """

    def __init__(self, settings: CacheSettings, clock: Clock, watch: CacheWatch | None = None) -> None:
        self._ttl_s = settings.ttl_s
        self._max_bytes = settings.max_bytes
        self._clock = clock
        self._watch = watch or NobodyWatches()
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """What everything kept takes in memory, never above ``cache.max_bytes``."""
        return self._bytes

    def find(self, question: bytes, edition: bytes, at: float) -> Held | None:
        """Return what is kept, unless of another edition, too old, or made for an instant too far from *at*."""
        entry = self._used(question)
        if entry is None or entry.edition != edition:
            return None
        age_ms = self._clock.elapsed_ms() - entry.stored_ms
        if age_ms > self._ttl_s * 1000.0 or not abs(at - entry.at) <= self._ttl_s:
            return None
        return unpack(entry.packed)

    def latest(self, question: bytes) -> Held | None:
        """Return what was kept last, under whatever versions."""
        entry = self._used(question)
        return None if entry is None else unpack(entry.packed)

    def keep(self, question: bytes, edition: bytes, held: Held) -> None:
        """Keep a slate, in the place of an older one; what was not used for longest makes room."""
        # The encoder leaves a third more room behind its bytes than they take; a copy has none.
        entry = _Entry(edition, memoryview(pack(held)).tobytes(), held.at, self._clock.elapsed_ms())
        evicted = 0
        with self._lock:
            before = self._entries.pop(question, None)
            self._bytes -= before.size_bytes if before is not None else 0
            if entry.size_bytes <= self._max_bytes:
                self._entries[question] = entry
                self._bytes += entry.size_bytes
            while self._bytes > self._max_bytes:
                self._bytes -= self._entries.popitem(last=False)[1].size_bytes
                evicted += 1
            held_bytes, entries = self._bytes, len(self._entries)
        if evicted:
            self._watch.evicted(evicted)
        self._watch.holds(held_bytes, entries)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0
        self._watch.holds(0, 0)

    def _used(self, question: bytes) -> _Entry | None:
        with self._lock:
            entry = self._entries.get(question)
            if entry is not None:
                self._entries.move_to_end(question)
            return entry

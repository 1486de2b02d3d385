"""What the result cache does, in Prometheus' terms. Knows no cache: it is told."""

from __future__ import annotations

from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from slatewise.ports.cache import Shared


class CacheMetrics:
    """A `CacheWatch`. Thread-safe; each call costs microseconds."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._bytes = Gauge("slatewise_cache_bytes", "Memory that kept slates take", registry=registry)
        self._entries = Gauge("slatewise_cache_entries", "Slates kept", registry=registry)
        self._evicted = Counter("slatewise_cache_evictions", "Slates that made room for others", registry=registry)
        waits = Counter(
            "slatewise_cache_waits",
            "Queries that waited for an identical one, by whether that served them",
            ["served"],
            registry=registry,
        )
        shared = Counter(
            "slatewise_cache_shared",
            "Times the shared tier was asked, and how that went; skipped: left alone for a while",
            ["outcome"],
            registry=registry,
        )
        # Found by label once, and told from the start: what never happened is 0, not missing.
        self._waits = {served: waits.labels(str(served).lower()) for served in (True, False)}
        self._shared = {outcome: shared.labels(outcome) for outcome in get_args(Shared)}

    def holds(self, bytes_held: int, entries: int) -> None:
        self._bytes.set(bytes_held)
        self._entries.set(entries)

    def evicted(self, entries: int) -> None:
        self._evicted.inc(entries)

    def waited(self, was_served: bool) -> None:
        self._waits[was_served].inc()

    def shared(self, outcome: Shared) -> None:
        self._shared[outcome].inc()

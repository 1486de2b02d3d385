"""How requests wait and why some are refused, in Prometheus' terms. Knows no queue: it is told."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_WAIT_S = (0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


class QueueMetrics:
    """Counts per class of requests. Thread-safe; each call costs about a microsecond."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._depth = Gauge("slatewise_queue_depth", "Requests that wait for a thread", ["class"], registry=registry)
        self._limit = Gauge(
            "slatewise_concurrency_limit",
            "Requests that may be at work or waiting now; it follows what was done lately",
            ["class"],
            registry=registry,
        )
        self._wait_s = Histogram(
            "slatewise_queue_seconds",
            "Time a request waited for a thread",
            ["class"],
            buckets=_WAIT_S,
            registry=registry,
        )
        self._rejected = Counter(
            "slatewise_rejected",
            "Requests refused to protect others: no room (full), or too late to begin (late)",
            ["class", "reason"],
            registry=registry,
        )

        self._ended = Counter(
            "slatewise_connections_ended",
            "Connections ended: no whole head in time (head), answers not read (reading), or too many open (room)",
            ["reason"],
            registry=registry,
        )

    def waits(self, name: str) -> Callable[[float], None]:
        """Return what times how long requests of a class waited for a thread, in seconds."""
        return self._wait_s.labels(name).observe

    def rejections(self, name: str, reason: str) -> Callable[[], None]:
        """Return what counts the refusals of a class for one reason."""
        return self._rejected.labels(name, reason).inc

    def ended(self, reason: str) -> None:
        """Count a connection that was ended for one reason."""
        self._ended.labels(reason).inc()

    def state(self, name: str, waiting: int, limit: int) -> None:
        """Tell how many requests of a class wait now, and how many may be at work or waiting."""
        self._depth.labels(name).set(waiting)
        self._limit.labels(name).set(limit)

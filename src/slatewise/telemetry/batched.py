"""Times that are told faster than Prometheus' objects take them, handed on in batches. Loses none: whoever reads the
registry has them handed on first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.registry import Collector

SIZE = 256
"""Times held back at most, of each kind."""

Tell = Callable[[float], None]


class Batched(Collector):
    """Stands in a registry before the metrics that it tells. Thread-safe."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._kinds: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        registry.register(self)

    def kind(self, counts: Sequence[Counter], times: Sequence[Histogram]) -> Tell:
        """Return what is told seconds, each of which adds one to all *counts* and is a time of all *times*.

        For kinds that are few: each is kept.
        """
        waiting: list[float] = []

        def hand_on() -> None:
            with self._lock:
                taken = waiting[:]
                del waiting[: len(taken)]
            for count in counts:
                count.inc(len(taken))
            for time in times:
                for seconds in taken:
                    time.observe(seconds)

        def tell(seconds: float) -> None:
            waiting.append(seconds)
            if len(waiting) >= SIZE:
                hand_on()

        self._kinds.append(hand_on)
        return tell

    def collect(self) -> Iterable[Metric]:
        """Hand on what waits; nothing is told here."""
        for hand_on in self._kinds:
            hand_on()
        return ()

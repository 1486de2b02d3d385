"""One computation per question at a time: who asks the same meanwhile waits for it. Knows no slate's content."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from slatewise.serving.held import Held


class Flight:
    """One computation in the air. Its leader may put what can be shared into ``held`` before it lands."""

    def __init__(self) -> None:
        self.held: Held | None = None
        # A lock held from departure to landing: cheaper to make than an Event, and most flights have no passenger.
        self._in_the_air = threading.Lock()
        self._in_the_air.acquire()

    def wait(self, limit_ms: float) -> Held | None:
        """Wait for the landing, *limit_ms* at most; return what is shared, None where nothing is or it takes longer."""
        if not self._in_the_air.acquire(timeout=min(max(0.0, limit_ms / 1000.0), threading.TIMEOUT_MAX)):
            return None
        self._in_the_air.release()
        return self.held

    def land(self) -> None:
        self._in_the_air.release()


class Flights:
    """The computations in the air, by what they compute. Thread-safe; no lock is held while anything is computed."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, Flight] = {}
        self._lock = threading.Lock()

    @contextmanager
    def boarded(self, key: Hashable) -> Iterator[tuple[Flight, bool]]:
        """Give the flight for *key* and whether the caller leads it. A leader's flight lands at the end, come what may.

        Who comes after the landing leads the next one. A passenger that gets nothing computes for itself: to wait for
        another passenger's turn would make the last wait for all.
        """
        with self._lock:
            flight = self._flights.get(key)
            leads = flight is None
            if flight is None:
                flight = self._flights[key] = Flight()
        try:
            yield flight, leads
        finally:
            if leads:
                with self._lock:
                    del self._flights[key]
                flight.land()

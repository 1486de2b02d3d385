"""The computer's own clock: the one place that asks what time it is."""

import time


class SystemClock:
    """Tells real time. Thread-safe."""

    def now(self) -> float:
        """Return seconds since the epoch, UTC."""
        return time.time()  # noqa: TID251 - everybody else takes a Clock; this is the one it stands for

    def elapsed_ms(self) -> float:
        """Return milliseconds from an arbitrary fixed start; never goes backwards."""
        return time.perf_counter() * 1000.0

"""Stops asking what does not answer. Knows nothing of what is asked."""

from __future__ import annotations

import threading

from slatewise.ports.clock import Clock

FAILURES = 3
"""In a row; then nobody asks for a while."""

FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 1_000.0, 30_000.0


class Breaker:
    """A circuit breaker: after `FAILURES` in a row it pauses; then one caller tries, and the pause doubles if in vain.

    Thread-safe.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._pause_ms = FIRST_PAUSE_MS
        self._paused_until_ms: float | None = None
        self._lock = threading.Lock()

    def may_try(self) -> bool:
        """Whether to ask now. Who is told so after a pause is the only one; the others wait for what comes of it."""
        if self._paused_until_ms is None:
            return True
        with self._lock:
            if self._paused_until_ms is None:
                return True
            now = self._clock.elapsed_ms()
            if now < self._paused_until_ms:
                return False
            # Should this one never report back, the next may try after another pause.
            self._paused_until_ms = now + self._pause_ms
            return True

    def succeeded(self) -> None:
        """Tell that what was asked answered."""
        if self._failures or self._paused_until_ms is not None:
            with self._lock:
                self._failures, self._paused_until_ms, self._pause_ms = 0, None, FIRST_PAUSE_MS

    def failed(self) -> None:
        """Tell that it did not."""
        with self._lock:
            self._failures += 1
            if self._failures < FAILURES:
                return
            if self._failures > FAILURES:
                self._pause_ms = min(2 * self._pause_ms, LONGEST_PAUSE_MS)
            self._paused_until_ms = self._clock.elapsed_ms() + self._pause_ms

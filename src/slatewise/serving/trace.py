"""What one request took and what failed on its way: time per stage, the deadline, and the degraded parts."""

from __future__ import annotations

import logging
from types import TracebackType

from slatewise.domain.errors import SlatewiseError
from slatewise.domain.slate import RUNGS, Rung
from slatewise.ports.clock import Clock

log = logging.getLogger("slatewise.serving")


class Trace:
    """Follows one request; not shared between threads. Times are in milliseconds from its creation."""

    def __init__(self, clock: Clock, deadline_ms: float) -> None:
        self._clock = clock
        self._start = clock.elapsed_ms()
        self._deadline_ms = deadline_ms
        self._timing: dict[str, float] = {}
        self._degraded: list[str] = []
        self.rung: Rung = "full"

    def timed(self, stage: str) -> _Timed:
        """Return a context that adds the time spent inside to this stage."""
        return _Timed(self._clock, self._timing, stage)

    def of(self, stage: str) -> float:
        """Return the milliseconds that the stage took so far."""
        return self._timing.get(stage, 0.0)

    @property
    def spent_ms(self) -> float:
        """Milliseconds since the request began."""
        return self._clock.elapsed_ms() - self._start

    @property
    def is_spent(self) -> bool:
        """Whether the deadline has passed."""
        return self.spent_ms >= self._deadline_ms

    @property
    def left_ms(self) -> float:
        """Milliseconds until the deadline, negative once it has passed."""
        return self._deadline_ms - self.spent_ms

    def fell_to(self, rung: Rung) -> None:
        """Note how far down the ladder the slate is made; nobody climbs back."""
        self.rung = max(self.rung, rung, key=RUNGS.index)

    def skipped(self, component: str) -> None:
        """Note a component that the deadline left no time for."""
        self.note(component, "deadline")

    def failed(self, component: str, error: Exception) -> None:
        """Note a component that raised, and log why.

        The answer names foreign errors by class only: their texts may hold what is not for the caller.
        """
        log.warning("%s failed", component, exc_info=error)
        ours = isinstance(error, SlatewiseError)
        self.note(component, str(error).removeprefix(f"{component}: ") if ours else type(error).__name__)

    def note(self, component: str, reason: str) -> None:
        """Note a component that gave less than it should have."""
        entry = f"{component}: {reason}"
        if entry not in self._degraded:
            self._degraded.append(entry)

    @property
    def degraded(self) -> tuple[str, ...]:
        return tuple(self._degraded)

    def timing_ms(self) -> dict[str, float]:
        """Return milliseconds by stage, and in ``total``."""
        return {**self._timing, "total": self._clock.elapsed_ms() - self._start}


class _Timed:
    # A class: entering a generator costs three times as much, a dozen times in every request.
    __slots__ = ("_clock", "_stage", "_start", "_timing")

    def __init__(self, clock: Clock, timing: dict[str, float], stage: str) -> None:
        self._clock, self._timing, self._stage = clock, timing, stage

    def __enter__(self) -> None:
        self._start = self._clock.elapsed_ms()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        spent_ms = self._clock.elapsed_ms() - self._start
        self._timing[self._stage] = self._timing.get(self._stage, 0.0) + spent_ms

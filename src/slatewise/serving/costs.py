"""What components took lately: how much of a deadline must be left for what is still to come. Knows no stage."""

from __future__ import annotations

RISING, FALLING = 0.2, 0.5
"""Weight of the newest measurement, where it is above the estimate and below."""

LEAP, LEAP_MS = 8.0, 5.0
"""A measurement counts as ``LEAP * estimate + LEAP_MS`` at most: a stall of the machine is not a component's pace, and
one that became slow is noticed within ten requests or so."""

TRIED_EVERY = 32
"""One refusal in so many is a trial: only a component that runs can show that it is fast again."""


class Costs:
    """The mean time of each component, in milliseconds, newer ones counting more; 0 before the first measurement.

    Thread-safe: two threads that measure at once may lose one of the two, which an estimate can do without.
    """

    def __init__(self) -> None:
        self._ms: dict[str, float] = {}
        self._refused: dict[str, int] = {}

    def of(self, component: str) -> float:
        """Return what the component is expected to take."""
        return self._ms.get(component, 0.0)

    def measured(self, component: str, ms: float) -> None:
        """Tell what the component took."""
        before = self._ms.get(component, 0.0)
        ms = min(ms, LEAP * before + LEAP_MS)
        share = 1.0 if not before else RISING if ms > before else FALLING
        self._ms[component] = before + share * (ms - before)

    def allow(self, component: str, left_ms: float, *, later_ms: float = 0.0) -> bool:
        """Whether the component fits into what is left with *later_ms* kept back for those behind it.

        No more than half of what is left is kept back: however slow later stages are taken for, something must reach
        them, or they could never show that they are not.
        """
        if left_ms <= 0:
            return False
        if self._ms.get(component, 0.0) + min(later_ms, left_ms / 2) <= left_ms:
            return True
        refused = self._refused[component] = self._refused.get(component, 0) + 1
        return refused % TRIED_EVERY == 0

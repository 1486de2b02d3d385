"""Time, and what watches us: the two things every stage would otherwise reach for globally."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from slatewise.domain.query import Query
from slatewise.domain.slate import Slate


class Clock(Protocol):
    """Tells the time. Tests hold their own."""

    def now(self) -> float:
        """Return the current instant in seconds since the epoch, UTC."""
        ...

    def elapsed_ms(self) -> float:
        """Return milliseconds from a fixed start; never goes backwards."""
        ...


Again: TypeAlias = Callable[[str, float], object]
"""Learns of a slate given once more: under which request id, and how many milliseconds that took."""


class Observer(Protocol):
    """Learns of a finished slate after it is answered; cannot change or delay it."""

    def served(self, query: Query, slate: Slate) -> None: ...

    def again(self, query: Query, slate: Slate) -> Again | None:
        """Return what to tell each time that the same slate answers the same question once more; None: nothing.

        What it means each time is found out here, once: such an answer takes microseconds, and so must what it returns.
        """
        ...

"""Time, and what watches us: the two things every stage would otherwise reach for globally."""

from typing import Protocol

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


class Observer(Protocol):
    """Learns of a finished slate after it is answered; cannot change or delay it."""

    def served(self, query: Query, slate: Slate) -> None: ...

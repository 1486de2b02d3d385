"""What a story can do to a HOME, whichever way that is reached: in this process, or through a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from slatewise.domain.events import Receipt

T = TypeVar("T")

PATIENT_MS = 30_000.0
"""A deadline that no machine is too slow for: what is degraded then is so for another reason."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event as it is sent. ``at`` is None where the receiver's clock fills it in."""

    user: str
    item: str
    action: str
    value: float = 1.0
    event_id: str | None = None
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question. Only one that is plain (user and size) can be sent in the short form."""

    user: str | None
    size: int
    history: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    kind: str | None = None
    min_version: int | None = None
    cursor: str | None = None
    is_short: bool = False

    @property
    def question(self) -> tuple[object, ...]:
        """What shapes the slate: two alike may have one answer."""
        return self.user, self.size, self.history, tuple(sorted(set(self.exclude))), self.kind


@dataclass(frozen=True, slots=True)
class Slate:
    """An answer, as far as it is judged."""

    request_id: str
    items: tuple[str, ...]
    cached: bool
    as_of: int
    bundle: str
    degraded: tuple[str, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Gone:
    """The receipt of an erasure, as far as it is judged."""

    version: int
    interactions: int
    changes: int


@dataclass(frozen=True, slots=True)
class Item:
    """An item's state as the catalogue tells it."""

    kind: str
    is_available: bool


class HomePort(Protocol):
    """A HOME under test. Refusals are the errors of ``domain/errors.py``; anything else that is raised is a fault."""

    prefix: str
    """Put before names of users and events: nobody before this story had such names."""
    can_jump: bool
    can_crash: bool

    def record(self, events: Sequence[Told]) -> Receipt: ...

    def put_item(self, item: str, kind: str, *, is_available: bool) -> Receipt: ...

    def delete_item(self, item: str) -> Receipt: ...

    def describe(self, user: str, country: str) -> Receipt: ...

    def erase(self, user: str) -> Gone: ...

    def recommend(self, asked: Asked) -> Slate: ...

    def similar(self, item: str, size: int) -> tuple[str, ...]: ...

    def item(self, item: str) -> Item: ...

    def export(self, user: str) -> dict[str, Any]: ...

    def bundles(self) -> tuple[list[str], str]:
        """Return the ids of all, and of the live one."""
        ...

    def promote(self, bundle: str) -> None: ...

    def rollback(self) -> str:
        """Return the bundle that is live again."""
        ...

    def reopen(self) -> None:
        """Close in good order and open again."""
        ...

    def crash(self, attempt: Callable[[], T], moment: float) -> T | None:
        """Die while *attempt* is under way, early for a *moment* near 0 and late for one near 1, and open again.

        Returns what *attempt* returned, None where it is not known what became of it.
        """
        ...

    def jump(self, seconds: float) -> None:
        """Set the wall clock forwards or back."""
        ...

    def close(self) -> None: ...

"""Facts the outside world tells us. Append-only; never edited."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeGuard

AttributeValue: TypeAlias = str | float | bool | tuple[str | float, ...]
"""A categorical or free text, a number, a flag, a list of categoricals, or a list of numbers: a precomputed vector,
such as the embedding of a text or an image (from an array: ``tuple(array.tolist())``). A list is never a mixture."""

Attributes: TypeAlias = Mapping[str, AttributeValue]


def is_vector(value: object) -> TypeGuard[tuple[float, ...]]:
    """Return whether an attribute's value is a precomputed vector: a list of numbers, not empty.

    Looks at the first entry alone, for `ingest` refuses mixtures.
    """
    return isinstance(value, tuple) and bool(value) and not isinstance(value[0], str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """A user acted on an item.

    ``at`` is in seconds since the epoch, UTC; None where the time, and so the order, is unknown.
    The same ``event_id`` is stored once, for ever.
    """

    user_id: str
    item_id: str
    action: str
    at: float | None
    value: float = 1.0
    event_id: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Impression:
    """A slate was shown, in this order: the only honest source of negatives.

    ``propensity`` holds, per shown item, the probability in (0, 1] with which it came to stand there given the
    candidates; None where unknown, as in all logs from before it was kept. ``explored_from`` is the number of items
    that the last place was drawn from by exploration, 0 where that was not drawn. ``context`` is what the request said
    of where it came from, such as surface and device, in the names that queries use; it holds no vectors.
    """

    at: float
    user_id: str
    request_id: str
    shown: tuple[str, ...]
    propensity: tuple[float, ...] | None = None
    explored_from: int = 0
    context: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemChange:
    """An item entered the catalogue or changed: the whole new state, not a patch."""

    at: float
    item_id: str
    title: str | None = None
    categories: tuple[str, ...] = ()
    attributes: Attributes = field(default_factory=dict)
    available: bool = True
    created_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRemoval:
    """An item left the catalogue. Later interactions with it do not bring it back; an `ItemChange` does."""

    at: float
    item_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserChange:
    """A user's attributes: the whole new state, not a patch."""

    at: float
    user_id: str
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRemoval:
    """A user is forgotten: history and attributes no longer count in any answer or training."""

    at: float
    user_id: str


Event: TypeAlias = Interaction | Impression | ItemChange | ItemRemoval | UserChange | UserRemoval


@dataclass(frozen=True, slots=True)
class Stored:
    """An event as the log keeps it. ``user`` and ``item`` are rows, -1 where the event has none."""

    offset: int
    event: Event
    user: int
    item: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to an append: what was new, what was known already, and the version that holds it all."""

    accepted: int
    duplicates: int
    version: int
    """The log offset after the last event: a state at or above it reflects them all."""

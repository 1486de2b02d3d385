"""What an event log says of one user and of all items, before anybody folds it into a view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from slatewise.domain.events import ItemChange, ItemRemoval, UserChange
from slatewise.domain.history import History


@dataclass(frozen=True, slots=True)
class UserFacts:
    """One user as of a version, since they were last forgotten.

    ``history`` is whole, oldest first, unknown times before known ones. ``last`` is the offset of the newest event that
    counts (a removal does), 0 where none does. ``since`` is the version at which they were last forgotten, 0 for never.
    """

    row: int
    last: int
    since: int
    change: UserChange | None
    history: History


@dataclass(frozen=True, slots=True)
class UserOffsets:
    """Where in the log one user's events are, in its order."""

    changes: Sequence[int]
    interactions: Sequence[int]
    impressions: Sequence[int]


class ItemFact(NamedTuple):
    """One change or removal of an item. ``event`` is None where a later one replaced it: then only ``at`` counts."""

    offset: int
    row: int
    at: float
    event: ItemChange | ItemRemoval | None


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """All items below ``version``: their ids by row, and what was said of them, in log order.

    ``given`` is the offset of the event that first named the item in the last row, -1 where there is none.
    """

    version: int
    ids: Sequence[str]
    given: int
    facts: Sequence[ItemFact]

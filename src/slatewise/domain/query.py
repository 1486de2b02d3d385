"""What one recommendation request asks for: in ids as it arrives, in rows as the stages see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from slatewise.domain.events import AttributeValue
from slatewise.domain.history import EMPTY_HISTORY, History
from slatewise.domain.ids import Mask, Rows, Vectors

Condition: TypeAlias = AttributeValue | Mapping[str, object]
"""A value (equal, or contained in a list attribute), a tuple of values (any of them), or operators:
``{"eq"|"ne"|"lt"|"lte"|"gt"|"gte"|"in"|"not_in": operand}``. An attribute of vectors takes no condition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastAction:
    """One step of a history given with the query itself."""

    item_id: str
    action: str | None = None
    at: float | None = None

    @staticmethod
    def of(step: str | PastAction) -> PastAction:
        """Return the step; an item's id alone is one of the default action."""
        return PastAction(item_id=step) if isinstance(step, str) else step


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What one request asks for, in the customer's ids.

    ``at`` is in seconds since the epoch. Of ``user_id``, ``history`` and ``vector`` the most explicit wins: a vector
    over a history over the stored history of the user; none of them is an anonymous query.
    ``where`` maps an attribute (or ``categories``, ``title``, ``item_id``) to a condition, all of which must hold.
    ``context`` says where the request comes from (surface, device, anything but vectors): it is logged with what was
    shown, the ranker learns from it, and where it has the name of a user's attribute it outranks what is stored.
    ``weights`` maps actions to what their probability counts for in the score of this answer, in place of
    ``actions.NAME.weight``; actions that it does not name keep theirs. Where no ranker ranks they change nothing.
    """

    request_id: str
    at: float
    size: int = 10
    user_id: str | None = None
    history: tuple[PastAction, ...] | None = None
    vector: tuple[float, ...] | None = None
    exclude: frozenset[str] = frozenset()
    where: Mapping[str, Condition] = field(default_factory=dict)
    context: Mapping[str, AttributeValue] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    min_version: int | None = None
    deadline_ms: float | None = None
    explain: bool = False
    cursor: str | None = None
    """Of an answer to the same query: go on behind what that one showed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserState:
    """What the store knows of one user. ``version`` is the log offset after the user's last event, 0 if none."""

    row: int
    version: int
    history: History
    seen: Rows
    """Distinct rows the user acted on with an action that settings declare as ``seen``."""
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    since: int = 0
    """The log offset after the user's last removal: what was made for them before is not theirs any more."""


ANONYMOUS = UserState(row=-1, version=0, history=EMPTY_HISTORY, seen=EMPTY_HISTORY.row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A query in rows: everything a stage may know. Made once per request by `serving`, read by every stage."""

    query: Query
    user: UserState
    vector: Vectors | None
    """User vector, shape ``(1, d)``; None where no tower could make one."""
    blocked: Rows
    """Rows that may not be shown to this user now: seen or excluded. Sorted, distinct."""
    allow: Mask | None
    """Per catalogue row, who is available and meets ``where``; None where everybody is."""

"""What a caller gets back: a slate in the customer's ids. The same values leave by Python, HTTP and CLI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AnswerItem:
    """One recommended item. ``source`` is the retrieval source that offered it first."""

    item_id: str
    score: float
    position: int
    source: str


@dataclass(frozen=True, slots=True)
class ExplainedCandidate:
    """The way of one candidate through the funnel.

    ``outcome`` is ``shown``, ``reserve`` or ``dropped``; ``dropped_by`` is ``stage/name``; ``reason`` says why a shown
    item stands at its position, ``propensity`` how likely it was to, given the candidates. Features and probabilities
    are present for ranked candidates, NaN features left out.
    """

    item_id: str
    source: str
    retrieval_score: float | None
    retrieval_position: int
    outcome: str
    position: int | None = None
    dropped_by: str | None = None
    reason: str | None = None
    score: float | None = None
    features: Mapping[str, float] = field(default_factory=dict)
    probabilities: Mapping[str, float] = field(default_factory=dict)
    propensity: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One recommendation answer. ``as_of`` is the log version it reflects (compare with an event's ``version``)."""

    request_id: str
    items: tuple[AnswerItem, ...]
    cached: bool
    as_of: int
    bundle: str
    degraded: tuple[str, ...]
    timing_ms: Mapping[str, float]
    explanation: tuple[ExplainedCandidate, ...] | None = None
    cursor: str | None = None
    """Pass it with the same query for the next page; None where this is the last."""

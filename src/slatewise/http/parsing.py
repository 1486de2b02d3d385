"""Turns what was sent into the domain's values. Validation is done by then; nothing here can fail."""

from __future__ import annotations

from collections.abc import Mapping

from slatewise.domain.events import AttributeValue, Interaction, ItemChange, UserChange
from slatewise.domain.query import PastAction, Query
from slatewise.http.requests import EventIn, ItemIn, PastActionIn, RecommendationIn, UserIn


def interaction(event: EventIn, now: float, default_action: str) -> Interaction:
    """Return the interaction; what names no time happened now."""
    return Interaction(
        user_id=event.user_id,
        item_id=event.item_id,
        action=default_action if event.action is None else event.action,
        at=now if event.timestamp is None else event.timestamp,
        value=event.value,
        event_id=event.event_id,
        request_id=event.request_id,
    )


def item_change(item: ItemIn, now: float) -> ItemChange:
    """Return the item's new state."""
    return ItemChange(
        at=now,
        item_id=item.item_id,
        title=item.title,
        categories=tuple(item.categories),
        attributes=_present(item.attributes),
        available=item.available,
        created_at=item.created_at,
    )


def user_change(user: UserIn, now: float) -> UserChange:
    """Return the user's new attributes."""
    return UserChange(at=now, user_id=user.user_id, attributes=_present(user.attributes))


def query(sent: RecommendationIn, request_id: str, now: float) -> Query:
    """Return the query asked now."""
    return Query(
        request_id=request_id,
        at=now,
        size=sent.size,
        user_id=sent.user_id,
        history=None if sent.history is None else tuple(_past(step) for step in sent.history),
        vector=None if sent.vector is None else tuple(sent.vector),
        exclude=frozenset(sent.exclude),
        where=sent.where,
        context=_present(sent.context),
        weights=sent.weights,
        min_version=sent.min_version,
        deadline_ms=sent.deadline_ms,
        explain=sent.explain,
        cursor=sent.cursor,
    )


def _past(step: str | PastActionIn) -> PastAction:
    if isinstance(step, str):
        return PastAction(item_id=step)
    return PastAction(item_id=step.item_id, action=step.action, at=step.timestamp)


def _present(attributes: Mapping[str, AttributeValue | None]) -> dict[str, AttributeValue]:
    return {name: value for name, value in attributes.items() if value is not None}

"""What may be sent, as models that validate and that OpenAPI shows. Knows nothing of what is done with it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from slatewise.http.fields import MANY, Condition, ContextValue, Id, Key, Seconds, Value
from slatewise.ingest.validation import MAX_ATTRIBUTES, MAX_TEXT, MAX_VALUES
from slatewise.serving.cursors import MAX_CURSOR
from slatewise.serving.weights import MAX_WEIGHT

CONDITIONS = 64


class Sent(BaseModel):
    """Base of everything sent: no field that we do not know, no number for a text."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class EventIn(Sent):
    """A user acted on an item."""

    user_id: Id
    item_id: Id
    action: Id | None = Field(None, description="Kind of interaction, as declared in the settings.")
    timestamp: Seconds | None = Field(None, description="When it happened; now where it is left out.")
    value: float = Field(1.0, description="Strength of the interaction, such as a rating.")
    event_id: Key | None = Field(None, description="Makes a retry safe: the same event_id counts once, for ever.")
    request_id: Key | None = Field(None, description="The recommendation answer in which the user met the item.")


class EventsIn(Sent):
    """Interactions, stored all or none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "events": [
                        {"user_id": "u1", "item_id": "shoe-7", "action": "click", "event_id": "9f1c", "value": 1.0}
                    ]
                }
            ]
        }
    )

    events: list[EventIn] = Field(min_length=1, max_length=MANY)


class ItemIn(Sent):
    """An item's whole new state, not a patch."""

    item_id: Id
    title: str | None = Field(None, max_length=MAX_TEXT)
    categories: list[Id] = Field(default_factory=list, max_length=MAX_VALUES)
    attributes: dict[Id, Value] = Field(default_factory=dict, max_length=MAX_ATTRIBUTES)
    available: bool = Field(True, description="Whether it may be shown at all.")
    created_at: Seconds | None = Field(None, description="When it came to exist; new arrivals are found by it.")


class ItemsIn(Sent):
    """Items to add or replace."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "item_id": "shoe-7",
                            "title": "Red running shoe",
                            "categories": ["shoes"],
                            "attributes": {"price": 79.9, "brand": "Acme", "sizes": ["41", "42"]},
                        }
                    ]
                }
            ]
        }
    )

    items: list[ItemIn] = Field(min_length=1, max_length=MANY)


class UserIn(Sent):
    """A user's whole new attributes, not a patch."""

    user_id: Id
    attributes: dict[Id, Value] = Field(default_factory=dict, max_length=MAX_ATTRIBUTES)


class UsersIn(Sent):
    """Users to describe."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"users": [{"user_id": "u1", "attributes": {"country": "NL", "age": 31}}]}]}
    )

    users: list[UserIn] = Field(min_length=1, max_length=MANY)


class PastActionIn(Sent):
    """One step of a history."""

    item_id: Id
    action: Id | None = None
    timestamp: Seconds | None = None


def _form(value: Any) -> str:
    return "<id>" if isinstance(value, str) else "<entry>"


Step = Annotated[
    Annotated[Id, Tag("<id>")] | Annotated[PastActionIn, Tag("<entry>")],
    Discriminator(_form),
]
"""An item id alone, or with its action and time. Tags stand in brackets so that error messages can leave them out."""


Weight = Annotated[float, Field(ge=-MAX_WEIGHT, le=MAX_WEIGHT)]
"""What an action's probability counts for; negative for what is not wanted."""


class RecommendationIn(Sent):
    """What to recommend for. Of vector, history and user_id the first one given decides; none is an anonymous user."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"user_id": "u1", "size": 10, "context": {"surface": "home", "device": "mobile"}},
                {"history": ["shoe-7", {"item_id": "sock-2", "action": "buy"}], "where": {"price": {"lt": 50}}},
                {"user_id": "u1", "weights": {"buy": 10, "view": 0}},
            ]
        }
    )

    user_id: Id | None = None
    history: list[Step] | None = Field(
        None,
        max_length=10_000,
        description="Oldest first. Stands in for the stored history; these items count as seen.",
    )
    vector: list[float] | None = Field(
        None, min_length=1, max_length=4096, description="A user vector of the live bundle's width."
    )
    size: int = Field(10, ge=1, le=MANY, description="Items wanted; serving.max_size at most.")
    exclude: list[Id] = Field(default_factory=list, max_length=10_000, description="Items not to show.")
    where: dict[Id, Condition] = Field(
        default_factory=dict,
        max_length=CONDITIONS,
        description="Attribute (or categories, title, item_id) to condition; all must hold.",
    )
    context: dict[Id, ContextValue] = Field(
        default_factory=dict,
        max_length=MAX_ATTRIBUTES,
        description="Where the request comes from, such as surface and device. Logged with what was shown; the ranker "
        "learns from it, and one named like a user's attribute outranks what is stored. No vectors.",
    )
    weights: dict[Id, Weight] = Field(
        default_factory=dict,
        max_length=MAX_ATTRIBUTES,
        description="Action to what its probability counts for in this answer's scores, in place of the settings' "
        "weight; actions left out keep theirs. Where no ranker ranks they change nothing.",
    )
    min_version: int | None = Field(
        None, ge=0, description="Wait (serving.max_wait_ms at most) until the answer reflects this version of an event."
    )
    deadline_ms: float | None = Field(
        None,
        gt=0,
        le=60_000,
        description="Time for this answer instead of serving.deadline_ms; parts without time are left out and named.",
    )
    explain: bool = Field(False, description="Return the way of every candidate through the funnel.")
    cursor: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_CURSOR,
        description="Of an answer to the same query: go on behind what it showed, with nothing shown twice.",
    )

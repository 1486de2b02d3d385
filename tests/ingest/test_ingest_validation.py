import dataclasses
from typing import Any

import pytest

from slatewise.domain.errors import InputError
from slatewise.domain.events import (
    Event,
    Impression,
    Interaction,
    ItemChange,
    ItemRemoval,
    UserChange,
    UserRemoval,
)
from slatewise.ingest.validation import MAX_AHEAD_S, Rules, check_event, check_events

NOW = 1_000_000.0
RULES = Rules.at(NOW, ("view", "click", "buy"))

INTERACTION = Interaction(user_id="u", item_id="i", action="click", at=NOW, event_id="e", request_id="r")
IMPRESSION = Impression(at=NOW, user_id="u", request_id="r", shown=("a", "b"))
ITEM = ItemChange(at=NOW, item_id="i", title="T", categories=("c",), attributes={"price": 1.0, "tags": ("x",)})
USER = UserChange(at=NOW, user_id="u", attributes={"age": 3, "new": True, "about": "line\nbreak"})


@pytest.mark.parametrize(
    "event",
    [
        INTERACTION,
        dataclasses.replace(INTERACTION, at=None, event_id=None, request_id=None),
        dataclasses.replace(INTERACTION, at=NOW + MAX_AHEAD_S),
        dataclasses.replace(INTERACTION, at=0),
        dataclasses.replace(INTERACTION, user_id="ü" * 256, item_id="a\u00a0b 日本"),
        IMPRESSION,
        dataclasses.replace(IMPRESSION, user_id="", shown=()),
        dataclasses.replace(IMPRESSION, propensity=(1.0, 0.05), explored_from=2),
        dataclasses.replace(
            IMPRESSION, context={"device": "app", "hour": 7, "new": True, "tests": ("a", "b"), "o": ()}
        ),
        ITEM,
        dataclasses.replace(ITEM, title=None, created_at=-5.0),
        dataclasses.replace(ITEM, attributes={"embedding": (0.5, -1, 1e-300), "longest": (0.1,) * 4096, "none": ()}),
        dataclasses.replace(USER, attributes={"taste": (0.5,)}),
        ItemRemoval(at=NOW, item_id="i"),
        USER,
        UserRemoval(at=NOW, user_id="u"),
    ],
)
def test_sound_events_pass(event: Event) -> None:
    check_event(event, RULES)


@pytest.mark.parametrize(
    ("event", "changes", "field"),
    [
        (INTERACTION, {"user_id": ""}, "user_id"),
        (INTERACTION, {"user_id": 7}, "user_id"),
        (INTERACTION, {"user_id": None}, "user_id"),
        (INTERACTION, {"item_id": "i" * 257}, "item_id"),
        (INTERACTION, {"item_id": "a\nb"}, "item_id"),
        (INTERACTION, {"item_id": "a\x7f"}, "item_id"),
        (INTERACTION, {"item_id": "\ud800"}, "item_id"),
        (INTERACTION, {"action": "veiw"}, "action"),
        (INTERACTION, {"action": 3}, "action"),
        (INTERACTION, {"at": -1.0}, "at"),
        (INTERACTION, {"at": NOW + MAX_AHEAD_S + 1}, "at"),
        (INTERACTION, {"at": float("nan")}, "at"),
        (INTERACTION, {"at": True}, "at"),
        (INTERACTION, {"at": "2024-01-01"}, "at"),
        (INTERACTION, {"value": float("inf")}, "value"),
        (INTERACTION, {"value": None}, "value"),
        (INTERACTION, {"event_id": "e" * 129}, "event_id"),
        (INTERACTION, {"event_id": ""}, "event_id"),
        (INTERACTION, {"request_id": "r\0"}, "request_id"),
        (IMPRESSION, {"at": None}, "at"),
        (IMPRESSION, {"request_id": None}, "request_id"),
        (IMPRESSION, {"shown": ("a", "")}, "shown[1]"),
        (IMPRESSION, {"shown": ["a"]}, "shown"),
        (IMPRESSION, {"propensity": (1.0,)}, "propensity"),
        (IMPRESSION, {"propensity": [1.0, 1.0]}, "propensity"),
        (IMPRESSION, {"propensity": (1.0, 0.0)}, "propensity[1]"),
        (IMPRESSION, {"propensity": (1.0, 1.1)}, "propensity[1]"),
        (IMPRESSION, {"propensity": (float("nan"), 1.0)}, "propensity[0]"),
        (IMPRESSION, {"explored_from": -1}, "explored_from"),
        (IMPRESSION, {"explored_from": True}, "explored_from"),
        (IMPRESSION, {"context": None}, "context"),
        (IMPRESSION, {"context": "app"}, "context"),
        (IMPRESSION, {"context": {f"c{i}": 1.0 for i in range(101)}}, "context"),
        (IMPRESSION, {"context": {"": 1.0}}, "context name"),
        (IMPRESSION, {"context": {3: "x"}}, "context name"),
        (IMPRESSION, {"context": {"hour": float("nan")}}, "context.hour"),
        (IMPRESSION, {"context": {"device": None}}, "context.device"),
        (IMPRESSION, {"context": {"device": "half \ud800"}}, "context.device"),
        (IMPRESSION, {"context": {"page": (0.5, 1.0)}}, "context.page"),
        (IMPRESSION, {"context": {"page": (1, "a")}}, "context.page"),
        (IMPRESSION, {"context": {"page": ("a", 1)}}, "context.page"),
        (ITEM, {"title": "t" * 10_001}, "title"),
        (ITEM, {"categories": ("a", 3)}, "categories[1]"),
        (ITEM, {"attributes": {f"a{i}": 1.0 for i in range(101)}}, "attributes"),
        (ITEM, {"attributes": {"": 1.0}}, "attributes name"),
        (ITEM, {"attributes": {"price": float("nan")}}, "attributes.price"),
        (ITEM, {"attributes": {"tags": ("x", "y" * 10_001)}}, "attributes.tags"),
        (ITEM, {"attributes": {"nested": {"a": 1}}}, "attributes.nested"),
        (ITEM, {"attributes": {"huge": 10**400}}, "attributes.huge"),
        (ITEM, {"attributes": {"mixed": (0.1, "a")}}, "attributes.mixed"),
        (ITEM, {"attributes": {"mixed": ("a", 0.1)}}, "attributes.mixed"),
        (ITEM, {"attributes": {"mixed": (0.1, True)}}, "attributes.mixed"),
        (ITEM, {"attributes": {"mixed": (0.1, None)}}, "attributes.mixed"),
        (ITEM, {"attributes": {"flags": (True, False)}}, "attributes.flags"),
        (ITEM, {"attributes": {"vector": (0.1, float("nan"))}}, "attributes.vector[1]"),
        (ITEM, {"attributes": {"vector": (0.1, 0.2, float("-inf"))}}, "attributes.vector[2]"),
        (ITEM, {"attributes": {"vector": (1, 10**400)}}, "attributes.vector[1]"),
        (ITEM, {"attributes": {"vector": (0.1,) * 4097}}, "attributes.vector"),
        (ITEM, {"attributes": {"vector": [0.1]}}, "attributes.vector"),
        (USER, {"attributes": {"taste": (0.1, "a")}}, "attributes.taste"),
        (ITEM, {"available": 1}, "available"),
        (ITEM, {"created_at": float("nan")}, "created_at"),
        (USER, {"attributes": {"about": "half \ud800"}}, "attributes.about"),
        (USER, {"user_id": "u\t"}, "user_id"),
    ],
)
def test_the_field_at_fault_is_named(event: Event, changes: dict[str, Any], field: str) -> None:
    bad = dataclasses.replace(event, **changes)
    with pytest.raises(InputError) as refused:
        check_events([event, event, bad], RULES)
    assert refused.value.field == f"events[2].{field}"


def test_an_undeclared_action_names_the_declared_and_the_nearest_one() -> None:
    with pytest.raises(InputError, match=r"buy, click, view.*did you mean 'click'"):
        check_event(dataclasses.replace(INTERACTION, action="clicked"), RULES)


def test_a_mixed_list_and_a_long_vector_say_what_would_be_right() -> None:
    for value, message in (
        ((0.1, "a"), r"got \(0.1, 'a'\), expected a list of texts or a list of numbers, not a mixture"),
        ((0.1,) * 5000, r"got '5000 numbers', expected a vector of at most 4096"),
    ):
        with pytest.raises(InputError, match=message):
            check_event(dataclasses.replace(ITEM, attributes={"v": value}), RULES)


def test_a_vector_in_a_context_says_what_would_be_right() -> None:
    with pytest.raises(InputError, match=r"context\.page: got \(0.5, 1.0\), expected text.* takes no vectors"):
        check_event(dataclasses.replace(IMPRESSION, context={"page": (0.5, 1.0)}), RULES)


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(InputError, match=r"events\[0\].*an event"):
        check_events(["click"], RULES)  # type: ignore[list-item]

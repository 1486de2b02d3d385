"""What an event must be before it is stored. Pure checks; knows no log and no catalogue."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeGuard

from slatewise.domain.errors import InputError
from slatewise.domain.events import (
    Attributes,
    Event,
    Impression,
    Interaction,
    ItemChange,
    ItemRemoval,
    UserChange,
    UserRemoval,
    is_vector,
)

MAX_ID = 256
MAX_KEY = 128
"""Longest ``event_id`` and ``request_id``, in characters."""
MAX_TEXT = 10_000
MAX_ATTRIBUTES = 100
MAX_VALUES = 1_000
"""Longest list: the values of one attribute, the categories of an item, the items of an impression."""
MAX_NUMBERS = 4096
"""Longest precomputed vector."""
IN_CONTEXT = "text, a finite number, a flag, or a list of texts: a request's context takes no vectors"
MAX_AHEAD_S = 86_400.0
"""How far a sender's clock may run ahead of ours."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What checks depend on: the declared action names, and the latest ``at`` that is believable, in seconds."""

    actions: frozenset[str]
    latest: float

    @staticmethod
    def at(now: float, action_names: Sequence[str]) -> Rules:
        """Return the rules at this instant."""
        return Rules(frozenset(action_names), now + MAX_AHEAD_S)


def check_events(events: Sequence[Event], rules: Rules) -> None:
    """Raise InputError for the first event that may not be stored, with a field such as ``events[3].action``."""
    for i, event in enumerate(events):
        check_event(event, rules, f"events[{i}]")


def check_event(event: Event, rules: Rules, field: str = "event") -> None:
    """Raise InputError where the event may not be stored; *field* is what the message calls the event."""
    check = _CHECKS.get(type(event))
    if check is None:
        raise InputError(field, event, "an event")
    check(event, rules, field)


def check_context(field: str, context: object) -> None:
    """Raise InputError where a request's context is not what a user's attributes may be, or holds a vector."""
    if not isinstance(context, Mapping):
        raise InputError(field, context, "a mapping of names to values")
    for name, value in context.items():
        if is_vector(value):
            raise InputError(f"{field}.{name}", value, IN_CONTEXT)
    _attributes(field, context)


def _interaction(event: Interaction, rules: Rules, field: str) -> None:
    _id(f"{field}.user_id", event.user_id)
    _id(f"{field}.item_id", event.item_id)
    if event.action not in rules.actions:
        raise _unknown_action(f"{field}.action", event.action, rules.actions)
    if event.at is not None:
        _time(f"{field}.at", event.at, rules.latest)
    if not _is_finite(event.value):
        raise InputError(f"{field}.value", event.value, "a finite number")
    _key(f"{field}.event_id", event.event_id)
    _key(f"{field}.request_id", event.request_id)


def _impression(event: Impression, rules: Rules, field: str) -> None:
    _time(f"{field}.at", event.at, rules.latest)
    if event.user_id != "":  # shown to nobody in particular
        _id(f"{field}.user_id", event.user_id)
    if not event.request_id:
        raise InputError(f"{field}.request_id", event.request_id, f"text of 1 to {MAX_KEY} characters")
    _key(f"{field}.request_id", event.request_id)
    _list(f"{field}.shown", event.shown)
    for place, item_id in enumerate(event.shown):
        _id(f"{field}.shown[{place}]", item_id)
    _propensity(field, event)
    check_context(f"{field}.context", event.context)


def _propensity(field: str, event: Impression) -> None:
    told, drawn_from = event.propensity, event.explored_from
    if told is not None and (not isinstance(told, tuple) or len(told) != len(event.shown)):
        raise InputError(f"{field}.propensity", told, f"one number per shown item ({len(event.shown)}), or nothing")
    for place, value in enumerate(told or ()):
        if not _is_finite(value) or not 0 < value <= 1:
            raise InputError(f"{field}.propensity[{place}]", value, "a probability above 0 and at most 1")
    if not isinstance(drawn_from, int) or isinstance(drawn_from, bool) or drawn_from < 0:
        raise InputError(f"{field}.explored_from", drawn_from, "a whole number of at least 0")


def _item_change(event: ItemChange, rules: Rules, field: str) -> None:
    _time(f"{field}.at", event.at, rules.latest)
    _id(f"{field}.item_id", event.item_id)
    if event.title is not None:
        _text(f"{field}.title", event.title)
    _list(f"{field}.categories", event.categories)
    for place, category in enumerate(event.categories):
        _text(f"{field}.categories[{place}]", category)
    _attributes(f"{field}.attributes", event.attributes)
    if not isinstance(event.available, bool):
        raise InputError(f"{field}.available", event.available, "true or false")
    if event.created_at is not None and not _is_finite(event.created_at):
        raise InputError(f"{field}.created_at", event.created_at, "seconds since the epoch, or nothing")


def _item_removal(event: ItemRemoval, rules: Rules, field: str) -> None:
    _time(f"{field}.at", event.at, rules.latest)
    _id(f"{field}.item_id", event.item_id)


def _user_change(event: UserChange, rules: Rules, field: str) -> None:
    _time(f"{field}.at", event.at, rules.latest)
    _id(f"{field}.user_id", event.user_id)
    _attributes(f"{field}.attributes", event.attributes)


def _user_removal(event: UserRemoval, rules: Rules, field: str) -> None:
    _time(f"{field}.at", event.at, rules.latest)
    _id(f"{field}.user_id", event.user_id)


_CHECKS: dict[type, Callable[[Any, Rules, str], None]] = {
    Interaction: _interaction,
    Impression: _impression,
    ItemChange: _item_change,
    ItemRemoval: _item_removal,
    UserChange: _user_change,
    UserRemoval: _user_removal,
}


def _id(field: str, value: object) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID or not _is_clean(value):
        raise InputError(field, value, f"text of 1 to {MAX_ID} characters without control characters")


def _key(field: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str) or not 0 < len(value) <= MAX_KEY or not _is_clean(value):
        raise InputError(field, value, f"text of 1 to {MAX_KEY} characters without control characters, or nothing")


def _text(field: str, value: object) -> None:
    # Line breaks and tabs belong into descriptions; a NUL or half a character belongs nowhere.
    if not isinstance(value, str) or len(value) > MAX_TEXT or "\0" in value or not _is_encodable(value):
        raise InputError(field, value, f"text of at most {MAX_TEXT} characters")


def _list(field: str, value: object) -> None:
    if not isinstance(value, tuple) or len(value) > MAX_VALUES:
        raise InputError(field, value, f"a list of at most {MAX_VALUES} values")


def _time(field: str, value: object, latest: float) -> None:
    if not _is_finite(value) or not 0 <= value <= latest:
        raise InputError(field, value, "seconds since the epoch, UTC, not more than a day from now")


def _attributes(field: str, attributes: Attributes) -> None:
    if len(attributes) > MAX_ATTRIBUTES:
        raise InputError(field, f"{len(attributes)} attributes", f"at most {MAX_ATTRIBUTES}")
    for name, value in attributes.items():
        _id(f"{field} name", name)
        _attribute(f"{field}.{name}", value)


def _attribute(field: str, value: object) -> None:
    if isinstance(value, str):
        _text(field, value)
    elif isinstance(value, tuple):
        _values(field, value)
    elif not isinstance(value, bool) and not _is_finite(value):
        raise InputError(field, value, "text, a finite number, a flag, or a tuple of texts or of numbers")


def _values(field: str, values: tuple[object, ...]) -> None:
    is_number = {issubclass(kind, int | float) and kind is not bool for kind in set(map(type, values))}
    if is_number == {True}:
        _vector(field, values)
    elif True in is_number:
        raise InputError(field, values, "a list of texts or a list of numbers, not a mixture")
    else:
        _list(field, values)
        for each in values:
            _text(field, each)


def _vector(field: str, values: tuple[Any, ...]) -> None:
    if len(values) > MAX_NUMBERS:
        raise InputError(field, f"{len(values)} numbers", f"a vector of at most {MAX_NUMBERS}")
    try:
        is_sound = all(map(math.isfinite, values))
    except OverflowError:
        is_sound = False
    if not is_sound:
        place = next(place for place, number in enumerate(values) if not _is_finite(number))
        raise InputError(f"{field}[{place}]", values[place], "a finite number")


def _unknown_action(field: str, action: object, declared: frozenset[str]) -> InputError:
    nearest = get_close_matches(action, declared, 1) if isinstance(action, str) else []
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    return InputError(field, action, f"one of the declared actions {', '.join(sorted(declared))}{hint}")


def _is_finite(value: object) -> TypeGuard[float]:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond any float
        return False


def _is_clean(text: str) -> bool:
    # isprintable is quick and right for nearly all ids; it also refuses odd spaces, which are merely odd.
    return text.isprintable() or all(unicodedata.category(c) not in ("Cc", "Cs") for c in text)


def _is_encodable(text: str) -> bool:
    return text.isascii() or all(unicodedata.category(c) != "Cs" for c in text)

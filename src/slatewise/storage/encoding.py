"""Events to table rows and back. Knows the columns of the log, no connection."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from slatewise.domain.errors import InputError, StorageError
from slatewise.domain.events import (
    Event,
    Impression,
    Interaction,
    ItemChange,
    ItemRemoval,
    UserChange,
    UserRemoval,
)
from slatewise.storage import schema

KINDS: dict[int, type[Event]] = {
    schema.IMPRESSION: Impression,
    schema.ITEM_CHANGE: ItemChange,
    schema.ITEM_REMOVAL: ItemRemoval,
    schema.USER_CHANGE: UserChange,
    schema.USER_REMOVAL: UserRemoval,
}
_KIND_OF = {event: kind for kind, event in KINDS.items()}
_DECODERS = {kind: msgspec.json.Decoder(event) for kind, event in KINDS.items()}
_ENCODER = msgspec.json.Encoder()


class EncodedEvent(NamedTuple):
    """One event, ready for the writer but for its ids' rows. All strings are storable, all numbers finite."""

    kind: int
    user_id: str | None
    item_id: str | None
    action: str | None
    at: float | None
    value: float | None
    event_id: str | None
    request_id: str | None
    body: str | None


def encode(events: Sequence[Event], action_names: Iterable[str]) -> list[EncodedEvent]:
    """Return the events as the writer takes them. Raises InputError for what could not be read back as it was."""
    actions = frozenset(action_names)
    encoded = [
        _interaction(i, event, actions) if isinstance(event, Interaction) else _other(i, event)
        for i, event in enumerate(events)
    ]
    _check_texts(encoded)
    return encoded


def decode(kind: int, body: str) -> Event:
    """Return the event of a kind that is stored as a body. Raises StorageError where it is damaged."""
    try:
        event: Event = _DECODERS[kind].decode(body)
    except (KeyError, msgspec.MsgspecError) as error:
        raise StorageError(f"the log holds an event that cannot be read (kind {kind}): {error}") from error
    return event


def _interaction(i: int, event: Interaction, actions: frozenset[str]) -> EncodedEvent:
    at, value, action = event.at, event.value, event.action
    if action not in actions:
        raise InputError(f"events[{i}].action", action, f"one of {', '.join(sorted(actions))}")
    if at is not None and not math.isfinite(at):
        raise InputError(f"events[{i}].at", at, "seconds since the epoch, or None where unknown")
    if not math.isfinite(value):
        raise InputError(f"events[{i}].value", value, "a finite number")
    return EncodedEvent(
        schema.INTERACTION,
        event.user_id,
        event.item_id,
        action,
        None if at is None else float(at),
        float(value),
        event.event_id,
        event.request_id,
        None,
    )


def _other(i: int, event: Any) -> EncodedEvent:
    kind = _KIND_OF.get(type(event))
    if kind is None:
        raise InputError(f"events[{i}]", event, "an event")
    try:
        text = _ENCODER.encode(event)
        _DECODERS[kind].decode(text)
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise InputError(f"events[{i}]", event, f"fields that can be stored ({error})") from error
    user_id = getattr(event, "user_id", None)
    # An anonymous slate is shown to nobody we could forget or learn a history for.
    named = user_id if user_id or kind != schema.IMPRESSION else None
    item_id = getattr(event, "item_id", None)
    return EncodedEvent(kind, named, item_id, None, float(event.at), None, None, None, text.decode())


def _check_texts(encoded: Sequence[EncodedEvent]) -> None:
    # One pass over the joined text instead of a check per string: nearly always there is nothing to find.
    texts = [t for e in encoded for t in (e.user_id, e.item_id, e.event_id, e.request_id) if t is not None]
    try:
        if b"\0" not in "".join(texts).encode():
            return
    except (TypeError, UnicodeEncodeError):
        pass
    for i, event in enumerate(encoded):
        for field in ("user_id", "item_id", "event_id", "request_id"):
            text = getattr(event, field)
            if text is not None and not _is_storable(text):
                raise InputError(f"events[{i}].{field}", text, "text without NUL characters or lone surrogates")


def _is_storable(text: object) -> bool:
    try:
        return isinstance(text, str) and b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False

"""Everything the log holds of one user, as JSON in parts: bounded memory, however much it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from slatewise.domain.errors import NotFound
from slatewise.domain.facts import UserOffsets
from slatewise.ports.stores import LogStore

PAGE = 500

_encode = msgspec.json.Encoder().encode


def export_user(log: LogStore, user_id: str) -> Iterator[bytes]:
    """Return the parts of one JSON object: ``user_id``, ``attributes`` as last told, and in the log's order
    ``changes``, ``interactions`` and ``impressions``.

    What is written meanwhile may be missing. Raises NotFound, at once, for somebody the log knows nothing of.
    """
    found = log.user_offsets(user_id)
    if found is None:
        raise NotFound(f"user {user_id!r} is not known")
    return _parts(log, user_id, found)


def _parts(log: LogStore, user_id: str, found: UserOffsets) -> Iterator[bytes]:
    told = [change["attributes"] for part in _read(log, found.changes[-1:]) for change in map(_change, part)]
    yield b'{"user_id":' + _encode(user_id) + b',"attributes":' + _encode(told[0] if told else {})
    for name, offsets, form in (
        ("changes", found.changes, _change),
        ("interactions", found.interactions, _interaction),
        ("impressions", found.impressions, _impression),
    ):
        yield b',"' + name.encode() + b'":['
        before = b""
        for part in _read(log, offsets):
            yield before + b",".join(_encode(form(row)) for row in part)
            before = b","
        yield b"]"
    yield b"}"


def _read(log: LogStore, offsets: Sequence[int]) -> Iterator[list[tuple[Any, ...]]]:
    for lo in range(0, len(offsets), PAGE):
        page = log.rows_at(offsets[lo : lo + PAGE])
        if page:  # empty where the user was erased meanwhile
            yield page


def _change(row: tuple[Any, ...]) -> dict[str, Any]:
    body = msgspec.json.decode(row[6])
    return {"timestamp": body["at"], "attributes": body.get("attributes", {})}


def _interaction(row: tuple[Any, ...]) -> dict[str, Any]:
    item, action, at, value, event_id, request_id, _ = row
    return {
        "item_id": item,
        "action": action,
        "timestamp": at,
        "value": value,
        "event_id": event_id,
        "request_id": request_id,
    }


def _impression(row: tuple[Any, ...]) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(row[6])
    body["timestamp"] = body.pop("at")
    del body["user_id"]
    return body

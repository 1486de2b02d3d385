"""What a request is made of, read and handed on: its path as it was sent, its body in one piece."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from starlette.types import Message, Receive, Scope


def exact_path(scope: Scope) -> str:
    """Return the path as it was sent, percent-encoded: routes are matched on nothing else."""
    raw: bytes | None = scope.get("raw_path")
    return raw.decode("latin-1") if raw else quote(scope["path"])


_JSON = frozenset({b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})


def is_json(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a body is declared as JSON, in one of the forms that people use."""
    return any(name == b"content-type" and value.lower() in _JSON for name, value in headers)


async def whole(receive: Receive) -> bytes | None:
    """Return the body, None where its sender went away."""
    pieces = []
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return a channel that gives *body* once, then what follows it."""
    given = False

    async def once() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once

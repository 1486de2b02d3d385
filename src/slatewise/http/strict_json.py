"""What JSON may be before a model sees it: each name once, 32 levels. Numbers are for models, which name the field."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from anyio import to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from slatewise.http.errors import malformed, too_slow
from slatewise.http.messages import replayed, whole

MAX_DEPTH = 32
SLOWEST_S = 30.0
"""How long a body may take to arrive, once its head did."""
LARGE_BYTES = 262_144

_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))


class Refused(ValueError):
    """JSON that two readers could understand differently, or that is made to exhaust one."""


def depth(body: bytes) -> int:
    """Return how deep lists and objects stand in each other, or how many there are where that is few enough."""
    count = body.count(b"[") + body.count(b"{")
    if count <= MAX_DEPTH:
        return count
    if b"\\" in body:
        body = _ESCAPED.sub(b"", body)
    marks = b"".join(body.split(b'"')[::2]).translate(None, _NO_BRACKET)
    if not marks:
        return 0
    # '[' and '{' have bit 1 set, ']' and '}' bit 2.
    steps = 1 - (np.frombuffer(marks, np.uint8) & 4).astype(np.int64) // 2
    return int(np.cumsum(steps).max())


def check(body: bytes) -> None:
    """Raise Refused, or ValueError for what is no JSON in UTF-8 at all."""
    if depth(body) > MAX_DEPTH:
        raise Refused(f"lists and objects stand in each other at most {MAX_DEPTH} deep")
    _decoder.decode(body.decode())


def _unique(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Refused("a name stands twice in one object")
    return found


_decoder = json.JSONDecoder(object_pairs_hook=_unique)


class StrictJson:
    """Reads a body whole, at last, and refuses JSON that `check` refuses. Bodies are bounded by then.

    What is declared as something else than JSON passes unchecked: routes refuse that themselves. A sender that takes
    longer than `SLOWEST_S` is given up.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "DELETE"):
            return await self._app(scope, receive, send)
        try:
            async with asyncio.timeout(SLOWEST_S):
                body = await whole(receive)
        except TimeoutError:
            return await too_slow(scope, SLOWEST_S)(scope, receive, send)
        if body is None:
            return None
        if body and _is_json(scope):
            try:
                # The checks hold the interpreter; in a thread they let others have it now and then.
                await (to_thread.run_sync(check, body) if len(body) > LARGE_BYTES else _checked(body))
            except ValueError as error:
                return await malformed(scope, _said(error))(scope, receive, send)
        await self._app(scope, replayed(body, receive), send)


def _is_json(scope: Scope) -> bool:
    return any(name == b"content-type" and b"json" in value.lower() for name, value in scope["headers"])


async def _checked(body: bytes) -> None:
    check(body)


def _said(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} (at character {error.pos})"
    return str(error) if isinstance(error, Refused) else "The body could not be read as JSON in UTF-8."

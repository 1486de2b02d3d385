"""What happens to every request before a route sees it, as plain ASGI: measuring, exact paths, a bound on bodies."""

from __future__ import annotations

from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slatewise.http.errors import too_large
from slatewise.ports.clock import Clock
from slatewise.telemetry.metrics import Metrics

UNMATCHED = "unmatched"
"""Route label of requests that met no route: their paths may be anything, and labels must be few."""

METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"})


class Measured:
    """Counts and times every request by its route's template."""

    def __init__(self, app: ASGIApp, metrics: Metrics, clock: Clock) -> None:
        self._app, self._metrics, self._clock = app, metrics, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        # Whoever raises through us is answered with this by the error handler outside.
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        begun = self._clock.elapsed_ms()
        try:
            await self._app(scope, receive, watch)
        finally:
            route = getattr(scope.get("route"), "path_format", UNMATCHED)
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.request(route, method, status, (self._clock.elapsed_ms() - begun) / 1000.0)


class ExactPaths:
    """Hands routes the path as it was sent, percent-encoded, so that ``a%2Fsimilar`` is an id and ``a/similar`` is not.

    Routes decode their ids with `fields.PathId`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["path"] = exact_path(scope)
        await self._app(scope, receive, send)


class BoundedBody:
    """Reads a request's body before its route does, and refuses it at the first byte too many.

    The library's own limit answers with plain text; ours is a problem document like every other error.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal():
            # Nobody sends more than was declared: the server cuts it off there.
            fits = len(declared) <= 15 and int(declared) <= self._limit
            return await (self._app if fits else too_large(scope, self._limit))(scope, receive, send)
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            if len(body) > self._limit:
                return await too_large(scope, self._limit)(scope, receive, send)
            more = message.get("more_body", False)
        await self._app(scope, replayed(bytes(body), receive), send)


def exact_path(scope: Scope) -> str:
    """Return the path as it was sent, percent-encoded: routes are matched on nothing else."""
    raw: bytes | None = scope.get("raw_path")
    return raw.decode("latin-1") if raw else quote(scope["path"])


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

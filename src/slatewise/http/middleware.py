"""What happens to every request before a route sees it, as plain ASGI: measuring, exact paths, a bound on bodies."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slatewise.http import strict_json
from slatewise.http.errors import route_of, too_large, too_slow
from slatewise.http.logs import REQUEST_ID, RequestLog
from slatewise.http.messages import exact_path, replayed
from slatewise.ports.clock import Clock
from slatewise.telemetry.metrics import Metrics

METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"})


class Measured:
    """Counts and times every request by its route's template, and logs it so where asked to."""

    def __init__(self, app: ASGIApp, metrics: Metrics, clock: Clock, log: RequestLog) -> None:
        self._app, self._metrics, self._clock, self._log = app, metrics, clock, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        # Whoever raises through us is answered with this by the error handler outside.
        status = 500
        log = self._log if self._log.is_asked else None
        if log is not None:
            log.begin()

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if log is not None:
                    message["headers"] = [*message.get("headers", ()), (REQUEST_ID, log.id().encode())]
            await send(message)

        begun = self._clock.elapsed_ms()
        try:
            await self._app(scope, receive, watch)
        finally:
            route = route_of(scope)
            method = scope["method"] if scope["method"] in METHODS else "other"
            ms = self._clock.elapsed_ms() - begun
            self._metrics.request(route, method, status, ms / 1000.0)
            if log is not None:
                log.end(method, route, status, ms)


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
    """Reads a request's body before its route does, and refuses it at the first byte too many, or after `SLOWEST_S`.

    The library's own limit answers with plain text; ours is a problem document like every other error.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        if declared.isdigit():
            # Nobody sends more than was declared: the server cuts it off there.
            fits = len(declared) <= 15 and int(declared) <= self._limit
            return await (self._app if fits else too_large(scope, self._limit))(scope, receive, send)
        try:
            async with asyncio.timeout(strict_json.SLOWEST_S):
                body = await self._read(receive)
        except TimeoutError:
            return await too_slow(scope, strict_json.SLOWEST_S)(scope, receive, send)
        if body is None:
            return None
        if len(body) > self._limit:
            return await too_large(scope, self._limit)(scope, receive, send)
        await self._app(scope, replayed(bytes(body), receive), send)

    async def _read(self, receive: Receive) -> bytearray | None:
        """Return the body, cut off behind the limit; None where its sender went away."""
        body = bytearray()
        more = True
        while more and len(body) <= self._limit:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
        return body

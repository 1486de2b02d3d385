"""Who is let in, decided before a byte of the body is read: plain ASGI, outside everything that does work."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slatewise.domain.settings import HttpSettings
from slatewise.http.errors import Kind, not_offered, nothing_here, problem
from slatewise.http.messages import exact_path
from slatewise.http.rate import Rates
from slatewise.http.scopes import OPEN, Matched, RouteTable, Unmatched
from slatewise.ports.clock import Clock
from slatewise.ports.keys import KeyRing

MAX_HEADER_BYTES = 32_768

LARGE_HEADERS = Kind(431, "headers", "The request's headers are too large")
MISDIRECTED = Kind(421, "host", "Not served under this name")
NO_KEY = Kind(401, "key", "An API key is needed")
NO_SCOPE = Kind(403, "scope", "The API key may not do this")
TOO_OFTEN = Kind(429, "rate", "Too many requests with this key")

REALM = 'realm="slatewise"'
ANONYMOUS = ""
NOTHING: Mapping[str, str] = MappingProxyType({})


Caller: TypeAlias = tuple[str, float | None]
"""Who has a bucket of tokens, and its own rate if there is one."""
Refused: TypeAlias = Callable[[Scope], Response]


class Verdict(NamedTuple):
    """What becomes of a request: its route, how it is refused if it is, and what to tell beside its answer."""

    route: Matched | Unmatched
    refusal: Response | None = None
    told: Mapping[str, str] = NOTHING


class Gate:
    """Lets a request through to its route, or answers it.

    What was decided on goes along as ``scope["route"]``.
    """

    def __init__(self, app: ASGIApp, judge: Judge) -> None:
        self._app, self._judge = app, judge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        route, refusal, told = self._judge.judge(scope)
        if route.path_format is not None:
            scope["route"] = route
        if refusal is not None:
            return await refusal(scope, receive, send)
        await self._app(scope, receive, _telling(send, told) if told else send)


class Judge:
    """Decides who is let in. Belongs to an event loop.

    With keys in use every route but the open ones needs one of the right scope, on loopback too. What matches no route
    gets 404 or 405 only with a live key: strangers learn nothing of what is here. Without keys the caller must come by
    an address or a plain host name, for a web page elsewhere could otherwise point a name of its own at this machine.
    """

    def __init__(self, table: RouteTable, keys: KeyRing, settings: HttpSettings, clock: Clock) -> None:
        self._table, self._keys, self._clock = table, keys, clock
        self._is_for_anyone = settings.without_keys == "anyone"
        self._rates = Rates(settings.rate, settings.burst)

    def judge(self, scope: Scope) -> Verdict:
        """Decide by method, path and headers alone. Takes microseconds, and one of the caller's tokens."""
        headers = named(scope["headers"])
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        route = self._table.match(scope["method"], exact_path(scope))
        if size > MAX_HEADER_BYTES:
            detail = f"At most {MAX_HEADER_BYTES} bytes of headers are accepted."
            return Verdict(route, problem(scope, LARGE_HEADERS, detail))
        if isinstance(route, Matched) and route.scope == OPEN:
            return Verdict(route)
        caller = self._caller(headers, route)
        if callable(caller):
            return Verdict(route, caller(scope))
        if isinstance(route, Unmatched):
            return Verdict(route, not_offered(scope, route.allowed) if route.allowed else nothing_here(scope))
        return self._rated(scope, route, caller)

    def lets_in(self, headers: Mapping[bytes, bytes], route: Matched) -> Mapping[str, str] | None:
        """Return what to tell a caller of *route* beside the answer, having taken one of the caller's tokens.

        *headers* by name, of a request that `judge` let in before. None for whoever is not let in now, at no cost.
        """
        caller = self._caller(headers, route)
        if callable(caller):
            return None
        now_s = self._clock.elapsed_ms() / 1000.0
        bucket = self._rates.bucket(*caller, now_s)
        if bucket is None:
            return NOTHING
        return bucket.headers() if bucket.take(now_s) else None

    def _caller(self, headers: Mapping[bytes, bytes], route: Matched | Unmatched) -> Caller | Refused:
        """Return the caller, or how to refuse one who may not come in."""
        if self._keys.is_used:
            token = token_of(headers, isinstance(route, Matched) and route.is_browsed)
            key = None if token is None else self._keys.find(token)
            if key is None:
                return lambda scope: _no_key(scope, route, token is None)
            if isinstance(route, Matched) and not key.allows(route.scope):
                return lambda scope: _no_scope(scope, route.scope)
            return key.id, key.rate
        if self._is_for_anyone or _is_near(headers.get(b"host", b"")):
            return ANONYMOUS, None
        return _misdirected

    def _rated(self, scope: Scope, route: Matched, caller: Caller) -> Verdict:
        now_s = self._clock.elapsed_ms() / 1000.0
        bucket = self._rates.bucket(*caller, now_s)
        if bucket is None:
            return Verdict(route)
        is_given = bucket.take(now_s)
        told = bucket.headers()
        if is_given:
            return Verdict(route, None, told)
        detail = f"At most {bucket.rate:g} requests a second are answered with this key."
        headers = {**told, "retry-after": str(bucket.wait_s())}
        return Verdict(route, problem(scope, TOO_OFTEN, detail, headers=headers))


def named(headers: Sequence[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """Return the first value of each header."""
    return dict(reversed(headers))


def token_of(headers: Mapping[bytes, bytes], is_browsed: bool) -> str | None:
    """Return the key that was sent, from ``Authorization: Bearer`` or ``X-API-Key``, None without one.

    Where pages are browsed, the password of ``Authorization: Basic`` counts too. A key in the URL is never looked for.
    """
    scheme, _, credentials = headers.get(b"authorization", b"").strip().partition(b" ")
    if scheme.lower() == b"bearer":
        return credentials.strip().decode("latin-1")
    if is_browsed and scheme.lower() == b"basic":
        try:
            return base64.b64decode(credentials.strip(), validate=True).partition(b":")[2].decode("latin-1")
        except binascii.Error:
            return ""
    sent = headers.get(b"x-api-key")
    return None if sent is None else sent.strip().decode("latin-1")


@lru_cache(maxsize=64)
def _is_near(host: bytes) -> bool:
    """Return whether a Host header names an address or one plain word, which no stranger can have in the DNS."""
    name = host.decode("latin-1").strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    name = name.removesuffix(".")
    if "." not in name and ":" not in name:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.endswith(".localhost")
    return True


def _misdirected(scope: Scope) -> Response:
    return problem(scope, MISDIRECTED, "Without API keys only an address or localhost may be asked.")


def _no_key(scope: Scope, route: Matched | Unmatched, is_missing: bool) -> Response:
    detail = "Send one as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'; `slatewise keys create` makes them."
    if not is_missing:
        detail = "This key is not known here, has expired, or was revoked."
    schemes = f"Bearer {REALM}" + ("" if is_missing else ', error="invalid_token"')
    if isinstance(route, Matched) and route.is_browsed:
        schemes += f", Basic {REALM}"
    return problem(scope, NO_KEY, detail, headers={"www-authenticate": schemes})


def _no_scope(scope: Scope, needed: str) -> Response:
    asked = f'Bearer {REALM}, error="insufficient_scope", scope="{needed}"'
    return problem(scope, NO_SCOPE, f"It needs the scope '{needed}'.", headers={"www-authenticate": asked})


def _telling(send: Send, told: Mapping[str, str]) -> Send:
    extra = [(name.encode(), value.encode()) for name, value in told.items()]

    async def watched(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *extra]
        await send(message)

    return watched

"""Answers given once more from their bytes, before a task, a scope or a thread is made for the request.

What a request asks is told from its bytes: the ones that asked before, through the whole application, and were answered
from the cache. Whether that answer still holds is the home's to say, each time; who may have it is the gate's.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from slatewise.domain.answer import Answer
from slatewise.http.classes import RECOMMEND, RECOMMEND_TO, Route
from slatewise.http.encoding import json_bytes
from slatewise.http.gate import Judge, named
from slatewise.http.home_api import EncoreApi, HomeApi
from slatewise.http.routes_recommendations import told
from slatewise.http.scopes import Matched, RouteTable
from slatewise.ports.clock import Clock
from slatewise.telemetry.batched import Tell
from slatewise.telemetry.metrics import Metrics

Headers = Sequence[tuple[bytes, bytes]]

_HEAD = b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\ncontent-type: application/json\r\n%b"
_LAST = b"connection: close\r\n"


class Form(NamedTuple):
    """An answer's JSON around its request id and its time."""

    before: bytes
    between: bytes
    after: bytes


class Asked(NamedTuple):
    """What is to be known of a request beside what it asks: what counts it, its route, who sent it, and whether the
    connection stays."""

    tell: Tell
    route: Matched
    headers: Mapping[bytes, bytes]
    stays: bool


class Given(NamedTuple):
    """A whole response, what it answers, and whether the connection stays."""

    response: bytes
    encore: EncoreApi
    asked: Asked


class Repeating:
    """The short way to an answer. Belongs to an event loop.

    It is closed (*is_open*) where every request is to be logged, and once the server drains: then each answer is the
    application's.
    """

    def __init__(
        self, home: HomeApi, judge: Judge, table: RouteTable, metrics: Metrics, clock: Clock, *, is_open: bool
    ) -> None:
        self._home, self._judge, self._clock = home, judge, clock
        self._find, self._is_open = home.encores.find, is_open
        self._routes: dict[Route, tuple[Tell, Matched]] = {}
        for route, method in ((RECOMMEND, "POST"), (RECOMMEND_TO, "GET")):
            matched = table.match(method, route.path_format)
            if isinstance(matched, Matched):
                self._routes[route] = metrics.repeated(matched.path_format, method), matched
        self._dated: tuple[Headers | None, bytes] = None, b""

    def close(self) -> None:
        """Answer nothing more."""
        self._is_open = False

    def answer(self, route: Route, name: bytes, headers: Headers, own: Headers, *, stays: bool) -> Given | None:
        """Return the response with the server's *own* headers, None where the application has to answer.

        *name* is as of `name_of`, or the body of a POST; *stays* says whether the connection does.
        """
        if not self._is_open or route not in self._routes:
            return None
        begun = self._clock.elapsed_ms()
        found = self._find(name)
        return (
            None
            if found is None
            else self._given(found[0], Asked(*self._routes[route], named(headers), stays), own, begun)
        )

    def again(self, sent: bytes, own: Headers) -> Given | None:
        """Return the response to a whole request that came before, byte for byte, and was remembered then."""
        begun = self._clock.elapsed_ms()
        found = self._find(sent) if self._is_open else None
        return None if found is None or found[1] is None else self._given(found[0], found[1], own, begun)

    def remember(self, sent: bytes, given: Given) -> None:
        """Remember that *sent* is a whole request, and the only one in these bytes, that is answered so."""
        self._home.encores.remember(sent, given.encore.query, given.asked)

    def _given(self, encore: EncoreApi, asked: Asked, own: Headers, begun: float) -> Given | None:
        extra = self._judge.lets_in(asked.headers, asked.route)
        if extra is None:
            return None
        before, between, after = self._formed(encore)
        request_id = self._home.new_request_id()
        ms = self._clock.elapsed_ms() - begun
        encore.told(request_id, ms)
        asked.tell(ms / 1000.0)
        took = b"%.4f" % ms
        body = b"%b%b%b%b%b" % (before, request_id.encode(), between, took, after)
        head = _HEAD % (self._own(own), len(body), b"" if asked.stays else _LAST)
        if extra:
            head += b"".join(b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in extra.items())
        return Given(b"%b\r\n%b" % (head, body), encore, asked)

    def _formed(self, encore: EncoreApi) -> Form:
        form: Form | None = encore.form
        if form is None:
            form = encore.form = formed(encore.answer)
        return form

    def _own(self, headers: Headers) -> bytes:
        # The server makes new ones every second, for the date.
        if headers is not self._dated[0]:
            self._dated = headers, b"".join(b"%b: %b\r\n" % header for header in headers)
        return self._dated[1]


def formed(answer: Answer) -> Form:
    """Return the parts of an answer's JSON that do not change from one time to the next."""
    # Drawn, so that nothing in the answer can be taken for them.
    asked, took = secrets.token_hex(16), secrets.token_hex(16)
    document = told(answer) | {"request_id": asked, "timing_ms": {"total": took}}
    before, _, rest = json_bytes(document).partition(asked.encode())
    between, _, after = rest.partition(b'"%b"' % took.encode())
    return Form(before, between, after)


def name_of(path: bytes, query_string: bytes) -> bytes:
    """Return what a request without a body asks, as it stands in its first line."""
    return path + b"?" + query_string if query_string else path

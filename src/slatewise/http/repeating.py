"""Answers given once more from their bytes, before a task, a scope or a thread is made for the request.

What a request asks is told from its bytes: the ones that asked before, through the whole application, and were answered
from the cache. Whether that answer still holds is the home's to say, each time; who may have it is the gate's.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import NamedTuple

from slatewise.domain.answer import Answer
from slatewise.http.classes import RECOMMEND, RECOMMEND_TO, Route
from slatewise.http.encoding import json_bytes
from slatewise.http.gate import Judge
from slatewise.http.home_api import EncoreApi, HomeApi
from slatewise.http.routes_recommendations import told
from slatewise.http.scopes import Matched, RouteTable
from slatewise.ports.clock import Clock
from slatewise.telemetry.metrics import Metrics

Headers = Sequence[tuple[bytes, bytes]]

_HEAD = b"HTTP/1.1 200 OK\r\n"
_TYPE = b"content-type: application/json\r\n"


class Form(NamedTuple):
    """An answer's JSON around its request id and its time."""

    before: bytes
    between: bytes
    after: bytes


class Repeating:
    """The short way to an answer. Belongs to an event loop.

    It is closed (*is_open*) where every request is to be logged, and once the server drains: then each answer is the
    application's.
    """

    def __init__(
        self, home: HomeApi, judge: Judge, table: RouteTable, metrics: Metrics, clock: Clock, *, is_open: bool
    ) -> None:
        self._home, self._judge, self._metrics, self._clock = home, judge, metrics, clock
        self._is_open = is_open
        self._routes: dict[Route, tuple[str, Matched]] = {}
        for route, method in ((RECOMMEND, "POST"), (RECOMMEND_TO, "GET")):
            matched = table.match(method, route.path_format)
            if isinstance(matched, Matched):
                self._routes[route] = method, matched
        self._dated: tuple[Headers | None, bytes] = None, b""

    def close(self) -> None:
        """Answer nothing more."""
        self._is_open = False

    def answer(self, route: Route, name: bytes, headers: Headers, own: Headers, *, stays: bool) -> bytes | None:
        """Return a whole response with the server's *own* headers, None where the application has to answer.

        *name* is as of `name_of`, or the body of a POST; *stays* says whether the connection does.
        """
        if not self._is_open or route not in self._routes:
            return None
        begun = self._clock.elapsed_ms()
        encore = self._home.encores.find(name)
        if encore is None:
            return None
        method, matched = self._routes[route]
        extra = self._judge.lets_in(headers, matched)
        if extra is None:
            return None
        form = self._formed(encore)
        request_id = self._home.new_request_id()
        ms = self._clock.elapsed_ms() - begun
        encore.told(request_id, ms)
        self._metrics.request(matched.path_format, method, 200, ms / 1000.0)
        before, between, after = form
        asked, took = request_id.encode(), b"%.4f" % ms
        length = len(before) + len(asked) + len(between) + len(took) + len(after)
        end = b"\r\n" if stays else b"connection: close\r\n\r\n"
        if extra:
            end = b"".join(b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in extra.items()) + end
        return b"".join(
            (_HEAD, self._own(own), b"content-length: %d\r\n" % length, _TYPE, end, before, asked, between, took, after)
        )

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

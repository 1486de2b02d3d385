"""Uvicorn's connection, which also answers what needs no application: refusals, and answers given once more.

A request there is no room for is refused once its head was read: no task, no scope, no body. Under ten times the load
most requests are refusals, and what they cost is taken from those that are answered: measured, 20 µs, half of it the
kernel's, where an application that answers fixed bytes takes 37 µs on the same server. Not to parse them at all saves
nothing that could be measured.

An answer that still holds is written when its request was read (`repeating.py`). What asks by its body is held back for
that as long as it takes to read the one piece it comes in.

And it knows what it waits for, so that `patience.py` can end it.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from slatewise.http.classes import RECOMMEND, RECOMMEND_TO, Route, classify
from slatewise.http.messages import is_json
from slatewise.http.overload import ADMITTED, Overload, Refusal, declared_bytes
from slatewise.http.patience import Patience
from slatewise.http.repeating import Given, Repeating

SMALL_BYTES = 1024
"""A longer body asks nothing that is answered once more."""

_HEAD = b"HTTP/1.1 503 Service Unavailable\r\n"


YOUNG_S = 1.0
"""A connection without a request is not idle before: it was opened to send one."""


def protocol(overload: Overload, repeating: Repeating, patience: Patience) -> type[HttpToolsProtocol]:
    """Return the class of connections to a server whose application works in the lanes of *overload*."""
    parts = {"overload": overload, "repeating": repeating, "patience": patience}
    return type("Connection", (_Connection,), parts)


class _Connection(HttpToolsProtocol):
    overload: ClassVar[Overload]
    repeating: ClassVar[Repeating]
    patience: ClassVar[Patience]
    begun_at = 0.0
    unread = (0, 0.0)
    _is_between = True
    """Whether the next byte begins a request."""
    _begun = 0
    """Requests that began in the piece at hand."""
    _is_answered = False
    """Whether the request at hand has its answer: what still comes of it is passed over."""
    _given: Given | None = None
    """What it was answered with, where that had been the answer before."""
    _held: Route | None = None
    """The route of a request whose body decides what becomes of it."""
    _body = b""
    _heard_s = 0.0

    def data_received(self, data: bytes) -> None:
        is_fresh = self._is_between and not self._is_busy
        if is_fresh and not self.flow.write_paused:
            given = self.repeating.again(data, self.server_state.default_headers)
            if given is not None:
                self._write(given.response, given.asked.stays)
                return self._rest()
        self._given, self._begun = None, 0
        super().data_received(data)
        if self._held is not None and not self.transport.is_closing():
            # The rest of its body is yet to come: nobody waits for it here.
            self._begin_held()
        elif is_fresh and self._given is not None and self._begun == 1 and data.endswith(b"\r\n\r\n" + self._body):
            self.repeating.remember(data, self._given)
        self._given = None

    def on_message_begin(self) -> None:
        self._is_between, self._body = False, b""
        self._begun += 1
        super().on_message_begin()
        self.begun_at = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.begun_at = self.loop.time()
        if not self.patience.has_room():
            transport.abort()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.unread = (0, 0.0)

    @property
    def waits_for_head(self) -> bool:
        return not self._is_busy and self.timeout_keep_alive_task is None

    @property
    def is_idle(self) -> bool:
        if self._is_busy:
            return False
        return self.timeout_keep_alive_task is not None or self.loop.time() - self.begun_at > YOUNG_S

    @property
    def waiting_bytes(self) -> int:
        return self.transport.get_write_buffer_size()

    def end(self, *, at_once: bool = False) -> None:
        if at_once:
            self.transport.abort()
        else:
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._is_answered = False
        # A pipelined request waits for the one before it; the application looks at it when its turn comes.
        if self._is_busy:
            return super().on_headers_complete()
        declared = declared_bytes(self.headers)
        route = classify(self._method, self.url.partition(b"?")[0].decode("latin-1"), declared)
        if route is RECOMMEND and 0 < declared <= SMALL_BYTES and self._may_be_held:
            self._held = route
        elif route is not RECOMMEND_TO or not self._answer_again(route, self.url):
            self._begin(route)

    def on_body(self, body: bytes) -> None:
        if self._held is not None:
            self._body += body
        elif not self._is_answered:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_between = True
        if self._held is not None:
            if self._answer_again(self._held, self._body):
                self._held = None
            else:
                self._begin_held()
        if self._is_answered:
            self._rest()
        else:
            super().on_message_complete()

    @property
    def _method(self) -> str:
        return self.parser.get_method().decode("ascii")

    @property
    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _may_be_held(self) -> bool:
        return not self.expect_100_continue and not self.parser.should_upgrade() and is_json(self.headers)

    @property
    def _stays(self) -> bool:
        return self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0"

    def _answer_again(self, route: Route, name: bytes) -> bool:
        # Nor is more written to those who do not read.
        if self.flow.write_paused or self.parser.should_upgrade():
            return False
        own = self.server_state.default_headers
        self._given = self.repeating.answer(route, name, self.headers, own, stays=self._stays)
        if self._given is None:
            return False
        self._is_answered = True
        self._write(self._given.response, self._given.asked.stays)
        return True

    def _begin_held(self) -> None:
        route, self._held = self._held, None
        self._begin(route)
        if not self._is_answered and self._body:
            super().on_body(self._body)

    def _begin(self, route: Route | None) -> None:
        """Hand the request to the application, or refuse it."""
        if route is not None:
            if self.overload.is_full(route):
                self._is_answered = True
                self._refuse(self.overload.refusal(route, self._method))
                return
            self.scope[ADMITTED] = True  # type: ignore[literal-required]
        super().on_headers_complete()
        if route is not None:
            self.overload.admit(route, self.loop)

    def _rest(self) -> None:
        """Wait for the next request, but not for ever."""
        self.server_state.total_requests += 1
        self._heard_s = self.loop.time()
        if self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self._wait_s(self.timeout_keep_alive)

    def _wait_s(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        # Not set anew with each answer: that would cost more than to look here.
        left_s = self._heard_s + self.timeout_keep_alive - self.loop.time()
        if left_s > 0.0 and not self.transport.is_closing():
            self._wait_s(left_s)
        else:
            super().timeout_keep_alive_handler()

    def _refuse(self, refusal: Refusal) -> None:
        if self.flow.write_paused:
            # Whoever asks and asks and reads no answer would have us keep them all.
            self.transport.abort()
            return
        own = b"".join(b"%b: %b\r\n" % header for header in self.server_state.default_headers)
        stays = self._stays
        end = b"\r\n" if stays else b"connection: close\r\n\r\n"
        self._write(b"".join((_HEAD, own, refusal.head, end, refusal.body)), stays)

    def _write(self, answer: bytes, stays: bool) -> None:
        self.transport.write(answer)
        if not stays:
            self.transport.close()

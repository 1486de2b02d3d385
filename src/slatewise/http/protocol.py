"""Uvicorn's connection, which also refuses: a request there is no room for is answered once its head was read.

And it knows what it waits for, so that `patience.py` can end it.

It makes no task and no scope for an application and reads no body. Under ten times the load most requests are refusals,
and what they cost is taken from those that are answered: measured, 20 µs, half of it the kernel's, where an application
that answers fixed bytes takes 37 µs on the same server. Not to parse them at all saves nothing that could be measured.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from slatewise.http.classes import classify
from slatewise.http.overload import ADMITTED, Overload, Refusal, declared_bytes
from slatewise.http.patience import Patience

_HEAD = b"HTTP/1.1 503 Service Unavailable\r\n"


YOUNG_S = 1.0
"""A connection without a request is not idle before: it was opened to send one."""


def protocol(overload: Overload, patience: Patience) -> type[HttpToolsProtocol]:
    """Return the class of connections to a server whose application works in the lanes of *overload*."""
    return type("Connection", (_Connection,), {"overload": overload, "patience": patience})


class _Connection(HttpToolsProtocol):
    overload: ClassVar[Overload]
    patience: ClassVar[Patience]
    begun_at = 0.0
    unread = (0, 0.0)
    _is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.begun_at = self.loop.time()
        if not self.patience.has_room():
            transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.begun_at = self.loop.time()

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
        self._is_refused = False
        route = None
        # A pipelined request waits for the one before it; the application looks at it when its turn comes.
        if not self._is_busy:
            method, path = self.parser.get_method().decode("ascii"), self.url.partition(b"?")[0].decode("latin-1")
            route = classify(method, path, declared_bytes(self.headers))
            if route is not None:
                if self.overload.is_full(route):
                    self._is_refused = True
                    stays = self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0"
                    self._refuse(self.overload.refusal(route, method), stays)
                    return
                self.scope[ADMITTED] = True  # type: ignore[literal-required]
        super().on_headers_complete()
        if route is not None:
            self.overload.admit(route, self.loop)

    def on_body(self, body: bytes) -> None:
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._is_refused:
            self._rest()
        else:
            super().on_message_complete()

    @property
    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _rest(self) -> None:
        """Wait for the next request, but not for ever."""
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _refuse(self, refusal: Refusal, stays: bool) -> None:
        if self.flow.write_paused:
            # Whoever asks and asks and reads no answer would have us keep them all.
            self.transport.abort()
            return
        own = b"".join(b"%b: %b\r\n" % header for header in self.server_state.default_headers)
        end = b"\r\n" if stays else b"connection: close\r\n\r\n"
        self.transport.write(b"".join((_HEAD, own, refusal.head, end, refusal.body)))
        if not stays:
            self.transport.close()

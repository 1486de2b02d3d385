"""Uvicorn's connection, which also refuses: a request there is no room for is answered once its head was read.

It makes no task and no scope for an application and reads no body. Under ten times the load most requests are refusals,
and what they cost is taken from those that are answered: measured, 20 µs, half of it the kernel's, where an application
that answers fixed bytes takes 37 µs on the same server. Not to parse them at all saves nothing that could be measured.
"""

from __future__ import annotations

from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from slatewise.http.classes import classify
from slatewise.http.overload import ADMITTED, Overload, Refusal, declared_bytes

_HEAD = b"HTTP/1.1 503 Service Unavailable\r\n"


def protocol(overload: Overload) -> type[HttpToolsProtocol]:
    """Return the class of connections to a server whose application works in the lanes of *overload*."""
    return type("Connection", (_Connection,), {"overload": overload})


class _Connection(HttpToolsProtocol):
    overload: ClassVar[Overload]
    _is_refused = False

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
        own = b"".join(b"%b: %b\r\n" % header for header in self.server_state.default_headers)
        end = b"\r\n" if stays else b"connection: close\r\n\r\n"
        self.transport.write(b"".join((_HEAD, own, refusal.head, end, refusal.body)))
        if not stays:
            self.transport.close()

"""One keep-alive connection: one request at a time, its answer parsed and handed on. Knows no schedule."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

import httptools

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class Owner(Protocol):
    """What a connection tells the pool it belongs to. Times are the event loop's, in seconds."""

    def ready(self, connection: Connection) -> None: ...

    def finished(self, connection: Connection, ticket: int, status: int, body: bytes, at: float) -> None:
        """Learn of an answer that arrived at *at*. The connection may be closed by then: see ``is_open``."""
        ...

    def lost(self, connection: Connection) -> None:
        """Learn of a closed connection, which still holds the ticket of what it was asked and did not answer."""
        ...


class Connection(asyncio.Protocol):
    """Sends one request and waits for its answer, which may have a length, be chunked, or end with the connection."""

    def __init__(self, owner: Owner, now: Callable[[], float]) -> None:
        self.ticket: int | None = None
        self.content = b""
        self.asked_at = 0.0
        self.is_open = False
        self.served = 0
        self.is_heard = False
        self._owner, self._now = owner, now
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._body: list[bytes] = []
        self._is_framed = self._is_headed = self._is_complete = False
        self._status, self._stays = 0, False

    def ask(self, ticket: int, content: bytes, at: float) -> None:
        """Send a request; the connection must be open and idle."""
        self.ticket, self.content, self.asked_at = ticket, content, at
        self._body = []
        self._is_framed = self._is_headed = self.is_heard = False
        cast(asyncio.Transport, self._transport).write(content)

    def abort(self) -> None:
        """Close at once, without waiting for anything."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True
        self._owner.ready(self)

    def data_received(self, data: bytes) -> None:
        at = self._now()
        self.is_heard = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._stays = False
            if not self._is_complete:
                self.abort()
                return
        # Here and not in the parser's callback, which would hide the owner's errors.
        if self._is_complete:
            self._finish(at)

    def connection_lost(self, error: Exception | None) -> None:
        at = self._now()
        self.is_open = False
        if error is None and self.ticket is not None and self._is_headed and not self._is_framed:
            # Neither length nor chunks: such an answer ends where the connection does.
            self._status, self._stays = self._parser.get_status_code(), False
            self._finish(at)
        self._owner.lost(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Notice whether the answer says where it ends."""
        if name.lower() in _FRAMING:
            self._is_framed = True

    def on_headers_complete(self) -> None:
        """Note that the status and the framing are known."""
        self._is_headed = True

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the answer."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Read what the parser forgets with the next byte; answers below 200 only announce the real one."""
        status = self._parser.get_status_code()
        if status >= 200:
            self._is_complete = True
            self._status, self._stays = status, self._parser.should_keep_alive()

    def _finish(self, at: float) -> None:
        self._is_complete = False
        ticket, self.ticket = self.ticket, None
        if ticket is None:
            # An answer to nothing, such as a server's word that it closes: there is nobody to give it to.
            self.abort()
            return
        self.served += 1
        if not self._stays:
            self.is_open = False
            cast(asyncio.Transport, self._transport).close()
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._owner.finished(self, ticket, self._status, body, at)

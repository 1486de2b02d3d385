"""Keep-alive connections to one server: as many as needed up to a bound. What finds none free waits in order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple, Protocol

from slatewise.load.connection import Connection
from slatewise.load.outcome import LOST, NO_CONNECTION, TIMED_OUT
from slatewise.load.target import Target


class Listener(Protocol):
    """What the pool tells whoever sends through it. Times are the event loop's, in seconds."""

    def sent(self, ticket: int, at: float) -> None: ...

    def answered(self, ticket: int, status: int, body: bytes, at: float) -> None: ...

    def failed(self, ticket: int, outcome: int, at: float) -> None: ...


class _Waiting(NamedTuple):
    ticket: int
    content: bytes
    since: float


class Pool:
    """Sends requests. Belongs to one event loop; every ticket ends in exactly one of answered and failed."""

    def __init__(self, target: Target, listener: Listener, bound: int) -> None:
        self.most = 0
        self._target, self._listener, self._bound = target, listener, bound
        self._loop = asyncio.get_running_loop()
        self._all: set[Connection] = set()
        self._idle: list[Connection] = []
        self._waiting: deque[_Waiting] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def open(self, count: int) -> None:
        """Open connections ahead of need. Raises OSError where the server cannot be reached."""
        await asyncio.gather(*(self._connect() for _ in range(count)))

    def send(self, ticket: int, content: bytes, at: float) -> None:
        """Send over a free connection, or as soon as there is one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                self._ask(connection, ticket, content, at)
                return
        self._waiting.append(_Waiting(ticket, content, at))
        self._grow()

    def expire(self, before: float, at: float) -> None:
        """Give up what was sent, or has been waiting to be, since before *before*."""
        for connection in list(self._all):
            if connection.ticket is not None and connection.asked_at < before:
                ticket, connection.ticket = connection.ticket, None
                connection.abort()
                self._listener.failed(ticket, TIMED_OUT, at)
        while self._waiting and self._waiting[0].since < before:
            self._listener.failed(self._waiting.popleft().ticket, TIMED_OUT, at)

    def close(self) -> None:
        """Close every connection; what is under way is forgotten."""
        self._is_closed = True
        for task in self._opening:
            task.cancel()
        for connection in list(self._all):
            connection.ticket = None
            connection.abort()

    def ready(self, connection: Connection) -> None:
        self._all.add(connection)
        self.most = max(self.most, len(self._all))
        self._release(connection)

    def finished(self, connection: Connection, ticket: int, status: int, body: bytes, at: float) -> None:
        if connection.is_open:
            self._release(connection)
        self._listener.answered(ticket, status, body, at)

    def lost(self, connection: Connection) -> None:
        self._all.discard(connection)
        ticket, connection.ticket = connection.ticket, None
        if self._is_closed:
            return
        if ticket is not None:
            # Servers close idle connections. A request that crossed this was not read and is sent again; on a
            # connection that never answered anything, something else is wrong.
            if connection.served and not connection.is_heard:
                self._waiting.appendleft(_Waiting(ticket, connection.content, connection.asked_at))
            else:
                self._listener.failed(ticket, LOST, self._loop.time())
        self._grow()

    def _ask(self, connection: Connection, ticket: int, content: bytes, at: float) -> None:
        connection.ask(ticket, content, at)
        self._listener.sent(ticket, at)

    def _release(self, connection: Connection) -> None:
        if not self._waiting:
            self._idle.append(connection)
            return
        waiting = self._waiting.popleft()
        self._ask(connection, waiting.ticket, waiting.content, self._loop.time())

    def _grow(self) -> None:
        while len(self._opening) < len(self._waiting) and len(self._all) + len(self._opening) < self._bound:
            task = self._loop.create_task(self._connect_for_waiting())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if not self._is_closed:
            self._grow()

    async def _connect_for_waiting(self) -> None:
        try:
            await self._connect()
        except OSError:
            # One failure for one request: while nothing listens, nobody else is made to wait for it.
            if self._waiting:
                self._listener.failed(self._waiting.popleft().ticket, NO_CONNECTION, self._loop.time())

    async def _connect(self) -> None:
        where = self._target
        await self._loop.create_connection(
            lambda: Connection(self, self._loop.time), where.host, where.port, ssl=True if where.is_tls else None
        )

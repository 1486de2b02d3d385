"""Runs an application on a socket until it is told to stop. Knows uvicorn, signals and threads; knows no route."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from threading import Event, Thread, current_thread, main_thread
from typing import cast

import uvicorn
from fastapi import FastAPI

from slatewise.domain.errors import ConfigError
from slatewise.http.accepting import Acceptor
from slatewise.http.draining import last_call
from slatewise.http.exposure import check_host
from slatewise.http.patience import SEND_BYTES, Held, Patience
from slatewise.http.protocol import protocol
from slatewise.http.seat import Seat

DRAIN_S = 10
"""How long requests under way may take to finish once the server is told to stop."""

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve(app: FastAPI, host: str, port: int, on_ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way, close the home and return.

    Port 0 takes a free one. *on_ready* is called with the server's URL once it answers. A second SIGINT stops at once.
    Raises ConfigError where the address cannot be bound, or would be open to strangers (`exposure.check_host`).
    """
    check_host(app, host)
    listening = bind(host, port)
    url = url_of(host, listening)
    Server(app, listening, lambda: None if on_ready is None else on_ready(url)).start()


def serve_seat(app: FastAPI, seat: Seat) -> None:
    """Serve as one of several workers, until told to stop or the supervisor is gone; else as `serve`."""
    listening = seat.socket()
    check_host(app, listening.getsockname()[0])
    server = Server(app, listening, seat.ready)
    seat.watch(server.stop)
    server.start()


@contextmanager
def running(app: FastAPI, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve from a thread of its own while the block runs, and yield the URL; for demonstrations and tests.

    The home is closed at the end, as with `serve`. Raises ConfigError where the address cannot be bound.
    """
    begun = Event()
    check_host(app, host)
    listening = bind(host, port)
    url = url_of(host, listening)
    server = Server(app, listening, begun.set)
    thread = Thread(target=server.start, name="slatewise-http", daemon=True)
    thread.start()
    try:
        while not begun.wait(0.05):
            if not thread.is_alive():
                raise ConfigError("the server stopped before it answered; its log says why")
        yield url
    finally:
        server.stop()
        thread.join(DRAIN_S + 5)


class Server(uvicorn.Server):
    """Uvicorn on a bound socket; it says when it is ready and returns after a signal, instead of dying of it."""

    def __init__(self, app: FastAPI, listening: socket.socket, on_ready: Callable[[], None]) -> None:
        self._socket = listening
        self._on_ready = on_ready
        self._repeating = app.state.repeating
        self._patience: Patience = app.state.patience
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol(app.state.overload, app.state.repeating, app.state.patience),
                ws="none",
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=DRAIN_S,
            )
        )

    def start(self) -> None:
        """Serve until told to stop."""
        self.run(sockets=[])

    def stop(self) -> None:
        """Finish what is under way, then return from `start`. May be called from any thread."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._patience.begin(cast(Collection[Held], self.server_state.connections))
        self._acceptor = Acceptor(self._socket, self._connection)
        self._acceptor.start()
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._acceptor.stop()
        self._repeating.close()
        await self._acceptor.settle()
        self._patience.end()
        await last_call(self.server_state.connections, lambda: self.force_exit)
        await super().shutdown(sockets)

    def _connection(self) -> asyncio.Protocol:
        make = cast(Callable[..., asyncio.Protocol], self.config.http_protocol_class)
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if current_thread() is not main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in _STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises ConfigError where the address cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as problem:
        raise ConfigError(f"http.host, http.port: cannot listen on {host}:{port}: {problem}") from problem
    # What is accepted inherits it.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
    return listening


def url_of(host: str, listening: socket.socket) -> str:
    """Return the URL of a bound socket."""
    port = listening.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

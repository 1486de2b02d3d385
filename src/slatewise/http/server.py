"""Runs an application on a socket until it is told to stop. Knows uvicorn, signals and threads; knows no route."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread, current_thread, main_thread

import uvicorn
from fastapi import FastAPI

from slatewise.domain.errors import ConfigError
from slatewise.http.exposure import check_host
from slatewise.http.protocol import protocol

DRAIN_S = 10
"""How long requests under way may take to finish once the server is told to stop."""

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve(app: FastAPI, host: str, port: int, on_ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way, close the home and return.

    Port 0 takes a free one. *on_ready* is called with the server's URL once it answers. A second SIGINT stops at once.
    Raises ConfigError where the address cannot be bound, or would be open to strangers (`exposure.check_host`).
    """
    _Server(app, host, port, on_ready).start()


@contextmanager
def running(app: FastAPI, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve from a thread of its own while the block runs, and yield the URL; for demonstrations and tests.

    The home is closed at the end, as with `serve`. Raises ConfigError where the address cannot be bound.
    """
    begun = Event()
    server = _Server(app, host, port, lambda url: begun.set())
    thread = Thread(target=server.start, name="slatewise-http", daemon=True)
    thread.start()
    try:
        while not begun.wait(0.05):
            if not thread.is_alive():
                raise ConfigError("the server stopped before it answered; its log says why")
        yield server.url
    finally:
        server.should_exit = True
        thread.join(DRAIN_S + 5)


class _Server(uvicorn.Server):
    """Uvicorn that says when it is ready and returns after a signal, instead of dying of it."""

    def __init__(self, app: FastAPI, host: str, port: int, on_ready: Callable[[str], None] | None) -> None:
        check_host(app, host)
        self._socket = _bind(host, port)
        self.url = _url(host, self._socket.getsockname()[1])
        self._on_ready = on_ready
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol(app.state.overload),
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
        self.run(sockets=[self._socket])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._on_ready is not None:
            self._on_ready(self.url)

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


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as problem:
        raise ConfigError(f"http.host, http.port: cannot listen on {host}:{port}: {problem}") from problem


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

"""Takes connections from a listening socket that several processes may share. Knows no protocol."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

_log = logging.getLogger(__name__)

_GONE = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EINTR})
"""The connection ended before it was taken; the next one may be well."""

_SCARCE_S = 0.5
"""Pause after a lack of file handles: another process may have some, or we soon will."""


class Acceptor:
    """Hands new connections to an event loop, one for each time that it looks.

    The loops of asyncio and libuv take all that wait, so of several processes the first to wake would take a whole
    burst of keep-alive connections and work alone. One at a time, whoever is busy looks later and takes fewer.
    """

    def __init__(self, listening: socket.socket, connect: Callable[[], asyncio.Protocol]) -> None:
        self._socket, self._connect = listening, connect
        self._loop = asyncio.get_running_loop()
        self._begun: set[asyncio.Task[object]] = set()
        self._is_open = False

    def start(self) -> None:
        """Take connections from now on."""
        self._socket.setblocking(False)
        self._is_open = True
        self._listen()

    def stop(self) -> None:
        """Take what has connected by now, then close the socket. Idempotent."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._socket)
            while self._take():
                pass
            self._socket.close()

    async def settle(self) -> None:
        """Return once every connection that was taken is in its protocol's hands."""
        while self._begun:
            await asyncio.wait(self._begun)

    def _listen(self) -> None:
        if self._is_open:
            self._loop.add_reader(self._socket, self._take)

    def _take(self) -> bool:
        """Take one connection; False where none waits."""
        try:
            taken, _ = self._socket.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno in _GONE:
                return True
            _log.error("no connection can be taken: %s", error)
            self._loop.remove_reader(self._socket)
            self._loop.call_later(_SCARCE_S, self._listen)
            return False
        taken.setblocking(False)
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._connect, taken))
        self._begun.add(task)
        task.add_done_callback(self._ended)
        return True

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._begun.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.warning("a connection was lost as it began: %s", task.exception())

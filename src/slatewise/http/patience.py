"""How long a connection may take what it holds: for the head of a request, for reading an answer, for doing nothing.

Nothing is timed per request. One look at all connections now and then finds those that take too long, so a bound is
kept to within `LOOK_S`. Bodies have a bound of their own (`strict_json.SLOWEST_S`), and idle connections the server's.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Collection
from typing import Protocol

if sys.platform != "win32":
    import resource

LOOK_S = 1.0
"""Between two looks at the connections."""
READING_S = 30.0
"""How long what was written may wait for a reader who takes nothing of it."""
SEND_BYTES = 262_144
"""What the system may hold for one reader, about. It takes more from us once a third of that was read: so readers are
slow below some kilobytes a second, and a thousand of them cost megabytes."""
FILES_LEFT = 256
"""Of the files that the system allows a process, for everything but connections."""


class Held(Protocol):
    """A connection as far as its patience goes. Times are of the event loop, in seconds."""

    begun_at: float
    """When the head that is awaited or was read last began, or the connection."""
    unread: tuple[int, float]
    """Bytes that were written and not taken at an earlier look, and when that was."""

    @property
    def waits_for_head(self) -> bool:
        """Whether no request is under way, and the idle time that the server grants does not run."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether it may be closed without a request lost: none is under way, and none has begun to arrive lately."""
        ...

    @property
    def waiting_bytes(self) -> int:
        """What was written and waits for its reader, beyond what the system holds for it."""
        ...

    def end(self, *, at_once: bool = False) -> None:
        """Close; *at_once* also lets go of what was written and not taken."""
        ...


class Patience:
    """Ends connections that take too long, and makes room for new ones. Used on one event loop."""

    def __init__(self, head_s: float, most: int, tell: Callable[[str], object]) -> None:
        """Look after at most *most* connections, fewer where the system allows fewer files.

        *head_s* is the time for a head. *tell* is told why a connection was ended: ``head``, ``reading`` or ``room``.
        """
        self._head_s, self._tell = head_s, tell
        self._most = min(most, max(1, _files() - FILES_LEFT))
        self._connections: Collection[Held] = ()
        self._idle: deque[Held] = deque()
        self._next: asyncio.TimerHandle | None = None

    def begin(self, connections: Collection[Held]) -> None:
        """Look after *connections*, which come and go, from now on."""
        self._connections = connections
        self._next = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def end(self) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()

    def has_room(self) -> bool:
        """Return whether one more connection, counted already, may stay; ends the longest idle one for it."""
        if len(self._connections) <= self._most:
            return True
        self._tell("room")
        while self._idle:
            longest = self._idle.popleft()
            if longest.is_idle:
                longest.end(at_once=True)
                return True
        return False

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._next = loop.call_later(LOOK_S, self._look)
        for held in tuple(self._connections):
            waiting, (before, since) = held.waiting_bytes, held.unread
            if not waiting or not before or waiting < before:
                held.unread = waiting, now
            elif now - since > READING_S:
                self._tell("reading")
                held.end(at_once=True)
            if held.waits_for_head and now - held.begun_at > self._head_s:
                self._tell("head")
                held.end()
        if len(self._connections) > self._most * 0.9:
            # Sorted now and not when somebody knocks: where all is full, that is often.
            self._idle = deque(sorted((held for held in self._connections if held.is_idle), key=_begun))


def _begun(held: Held) -> float:
    return held.begun_at


def _files() -> int:
    """Return how many files this process may have open."""
    if sys.platform == "win32":
        return sys.maxsize
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit

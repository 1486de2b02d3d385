"""One class of work: a few threads and a short queue before them. Knows no HTTP; belongs to an event loop.

How much may be here at once adapts: by Little's law it is the pace at which work was finished lately times how long it
may wait, so it follows the machine, the bundle and the traffic, as the limits of Vegas (Brakmo & Peterson, IEEE JSAC
13(8), 1995) follow a path's. Gradients of latency find the number of slots too; here that is known, it is the
processors, and only the queue is to be kept short. That is done by time, after "Fail at Scale" (Maurer, ACM Queue
13(8), 2015), which simplifies CoDel (Nichols & Jacobson, ACM Queue 10(5), 2012): a queue that was empty a moment ago
absorbs a burst and may cost `patience_ms`; one that has not been empty for `INTERVAL_MS` stands, and then no more is
let in than is done within `target_ms`.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

from slatewise.domain.errors import Overloaded
from slatewise.ports.clock import Clock

R = TypeVar("R")

INTERVAL_MS = 100.0
"""A queue that was not empty for so long is a standing one."""
MEMORY = 0.99
"""Of the pace, per piece of work done: about the last hundred count."""
LEAST = 2
"""Pieces of work that may wait whatever the pace: the threads must find the next one waiting."""
SAVED = 8.0
"""Pieces of work that a lane which yields may have saved up."""
TRICKLE_S = 0.05
"""A lane that yields begins one piece of work in so much time whatever those above do, who may do nothing at all."""


@dataclass(slots=True)
class _Job(Generic[R]):
    call: Callable[[], R]
    future: asyncio.Future[R]
    loop: asyncio.AbstractEventLoop
    since_ms: float
    until_ms: float


class Lane:
    """Runs calls in threads, at most *slots* at once.

    While a lane *above* has a standing queue, this one yields: it begins *share* pieces of work for each that those
    above finish, and a trickle beside. So it neither takes what others need more nor stands still.

    Everything but the calls themselves runs on one event loop at a time and needs no lock. *tell_wait* is told how long
    each piece of work waited, in seconds; *tell_full* of one that found no room, *tell_late* of one whose time had
    passed when its turn came.
    """

    def __init__(
        self,
        name: str,
        slots: int,
        clock: Clock,
        *,
        limit: int,
        patience_ms: float,
        target_ms: float,
        share: float = 1.0,
        above: Sequence[Lane] = (),
        tell_wait: Callable[[float], object] = lambda seconds: None,
        tell_full: Callable[[], object] = lambda: None,
        tell_late: Callable[[], object] = lambda: None,
    ) -> None:
        self.name = name
        self.tell_full = tell_full
        self.arriving = 0
        """Let in already, but not yet in the queue: see `Overload.admit`."""
        self._slots, self._share, self._above, self._below = slots, share, tuple(above), list[Lane]()
        for lane in above:
            lane._below.append(self)
        self._saved = 0.0
        self._trickle: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._is_known_full = False
        self._limit, self._patience_ms, self._target_ms = limit, patience_ms, target_ms
        self._clock, self._tell_wait, self._tell_late = clock, tell_wait, tell_late
        self._waiting: deque[_Job[Any]] = deque()
        self._running = 0
        self._todo: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._threads = 0
        self._empty_ms = -math.inf
        self._busy_ms = self._done = 0.0
        self._saturated_ms: float | None = None

    @property
    def waiting(self) -> int:
        """Pieces of work in the queue."""
        return len(self._waiting)

    @property
    def is_standing(self) -> bool:
        """Whether the queue has not been empty for a while."""
        return bool(self._waiting) and self._clock.elapsed_ms() - self._empty_ms > INTERVAL_MS

    @property
    def room(self) -> int:
        """How many pieces of work may wait now."""
        if not self._done:
            return self._limit
        allowed_ms = self._target_ms if self._yields or self.is_standing else self._patience_ms
        pace_ms = max(1e-3, self._busy_ms / self._done)
        return max(LEAST, int(min(self._limit, allowed_ms / pace_ms)))

    @property
    def bound(self) -> int:
        """How many pieces of work may be here now, at work or waiting."""
        return self._open_slots + self.room

    @property
    def is_full(self) -> bool:
        """Whether one more piece of work would be shed."""
        # Under ten times the load this is asked far more often than anything changes.
        if not self._is_known_full:
            self._is_known_full = self._running + len(self._waiting) + self.arriving >= self.bound
        return self._is_known_full

    async def run(self, call: Callable[[], R], until_ms: float | None = None) -> R:
        """Run *call* in a thread and return what it returns.

        Raises Overloaded where there is no room, or where *until_ms* has passed before a thread is free, `patience_ms`
        from now where it is not given: what would come too late is not begun.
        """
        # What is on its way was let in already, this very piece of work perhaps.
        if self._running + len(self._waiting) >= self.bound:
            self.tell_full()
            raise Overloaded("more is asked for than can be answered in time")
        loop = asyncio.get_running_loop()
        now = self._clock.elapsed_ms()
        future: asyncio.Future[R] = loop.create_future()
        if not self._waiting:
            self._empty_ms = now
        self._waiting.append(_Job(call, future, loop, now, now + self._patience_ms if until_ms is None else until_ms))
        self._dispatch(now)
        return await future

    def arrived(self) -> None:
        """Take one off ``arriving``."""
        self.arriving -= 1
        self._is_known_full = False

    def stop(self) -> None:
        """Let the threads go once they have done what was begun."""
        for _ in range(self._threads):
            self._todo.put(None)
        self._threads = 0

    @property
    def _yields(self) -> bool:
        return any(lane.is_standing for lane in self._above)

    @property
    def _open_slots(self) -> int:
        """How many pieces of work may be at work now."""
        if not self._yields:
            return self._slots
        return min(self._slots, self._running + int(self._saved))

    def _earn(self, share: float) -> None:
        self._saved = min(SAVED, self._saved + share)
        self._is_known_full = False
        if self._waiting:
            self._dispatch(self._clock.elapsed_ms())

    def _dispatch(self, now: float) -> None:
        self._is_known_full = False
        waiting = self._waiting
        while waiting and self._running < self._open_slots:
            job = waiting.popleft()
            if job.future.cancelled():
                continue
            if now >= job.until_ms:
                self._drop(job)
                continue
            self._tell_wait((now - job.since_ms) / 1000.0)
            if self._yields:
                self._saved -= 1.0
            self._running += 1
            if self._running > self._threads:
                self._threads += 1
                Thread(target=self._work, name=f"slatewise-{self.name}", daemon=True).start()
            self._todo.put(job)
        if not waiting:
            self._empty_ms = now
            return
        loop = waiting[0].loop
        if self._trickle is None and self._yields:
            self._trickle = loop.call_later(TRICKLE_S, self._trickled)
        if self._expiry is None and self._patience_ms < math.inf:
            # Where what is at work hangs, nothing else would tell those who wait for it.
            self._expiry = loop.call_later(self._patience_ms / 1000.0, self._expired)

    def _expired(self) -> None:
        self._expiry = None
        now = self._clock.elapsed_ms()
        while self._waiting and now >= self._waiting[0].until_ms:
            self._drop(self._waiting.popleft())
        self._dispatch(now)

    def _drop(self, job: _Job[Any]) -> None:
        if not job.future.cancelled():
            self._tell_late()
            job.future.set_exception(Overloaded("the deadline passed before there was time to begin"))

    def _trickled(self) -> None:
        self._trickle = None
        self._earn(1.0)

    def _work(self) -> None:
        while (job := self._todo.get()) is not None:
            result: Any = None
            error: Exception | None = None
            try:
                result = job.call()
            except Exception as raised:  # noqa: BLE001 - it is the caller's
                error = raised
            try:
                job.loop.call_soon_threadsafe(self._finished, job, result, error)
            except RuntimeError:
                # The loop is closed: nobody waits for this any more.
                self._running -= 1
            del job, result, error

    def _finished(self, job: _Job[R], result: R, error: Exception | None) -> None:
        now = self._clock.elapsed_ms()
        self._running -= 1
        for lane in self._below:
            lane._earn(lane._share)
        if self._saturated_ms is not None:
            self._busy_ms = self._busy_ms * MEMORY + (now - self._saturated_ms)
            self._done = self._done * MEMORY + 1.0
        self._dispatch(now)
        # The pace is what is finished while more is waiting; an idle lane's says how much is asked, not what it can do.
        self._saturated_ms = now if self._waiting else None
        if job.future.cancelled():
            return
        if error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)

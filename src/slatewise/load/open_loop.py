"""Sends each request when it is due, whether or not earlier ones were answered. Waits for no answer, ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from slatewise.load.pool import Pool
from slatewise.load.recorder import Recorder
from slatewise.load.traffic import Traffic

BURST = 16
"""Requests sent in a row by a generator that is late, before it reads answers again."""
GRACE_S = 1.0
"""How long after the end a generator that is late goes on sending what was due before it."""


class OpenLoop:
    """One run's clockwork. ``end_s`` is when it ended, in seconds of the schedule; ``cpu_s`` what it used from
    *warmup_s* on."""

    def __init__(
        self,
        due: Sequence[float],
        traffic: Traffic,
        pool: Pool,
        recorder: Recorder,
        warmup_s: float,
        total_s: float,
    ) -> None:
        self.end_s = total_s
        self.cpu_s = 0.0
        self.sent = 0
        self._due, self._traffic, self._pool, self._recorder = due, traffic, pool, recorder
        self._warmup_s, self._total_s = warmup_s, total_s
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._cpu_before: float | None = None
        self._is_over = False

    async def run(self) -> None:
        """Send everything that is due until the time is over or `stop` is called."""
        start = self._recorder.start = self._loop.time()
        self._loop.call_at(start + self._warmup_s, self._count)
        self._loop.call_at(start + self._total_s, self._close)
        self._loop.call_at(start + self._total_s + GRACE_S, self._end)
        self._turn()
        await self._ended

    def stop(self) -> None:
        """End now: what is due later was never asked for."""
        self.end_s = min(self.end_s, self.elapsed_s)
        self._close()
        self._end()

    @property
    def elapsed_s(self) -> float:
        """Seconds of the schedule that have passed."""
        return self._loop.time() - self._recorder.start

    @property
    def has_ended(self) -> bool:
        return self._ended.done()

    def _turn(self) -> None:
        due, recorder, pool, traffic = self._due, self._recorder, self._pool, self._traffic
        place, last, start = self.sent, len(self._due), self._recorder.start
        for _ in range(BURST):
            now = self._loop.time()
            if place == last or due[place] > now - start or self._ended.done():
                break
            recorder.reached(place, now)
            pool.send(place, traffic.request(place), now)
            place += 1
        self.sent = place
        if self._ended.done():
            return
        if place < last:
            # A time that has passed means: as soon as arrived answers have been read.
            self._loop.call_at(start + due[place], self._turn)
        elif self._is_over:
            self._end()

    def _count(self) -> None:
        self._cpu_before = time.thread_time()

    def _close(self) -> None:
        self._is_over = True
        if self._cpu_before is not None:
            self.cpu_s = time.thread_time() - self._cpu_before
            self._cpu_before = None
        if self.sent == len(self._due):
            self._end()

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

"""What is let in when more is asked than can be done: slates before events before bulk, and health always.

Refusing happens before a body is read, for it must cost next to nothing: at ten times the capacity nine of ten
requests are refused, and what that takes is taken from the tenth.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Iterable, Sequence
from itertools import cycle

from starlette.types import ASGIApp, Receive, Scope, Send

from slatewise.domain.settings import Settings
from slatewise.http.classes import Kind, Route, classify
from slatewise.http.encoding import json_bytes
from slatewise.http.errors import PROBLEM_TYPE, overloaded_document
from slatewise.http.lane import Lane
from slatewise.http.messages import exact_path
from slatewise.ports.clock import Clock
from slatewise.telemetry.metrics import Metrics

WRITERS = 64
"""Writers mostly wait for one shared sync of the log, so many of them make it cheaper."""
WAITERS = 32
"""Queries that wait for a version to arrive; they use no processor meanwhile."""
BULK = 4
OPERATORS = 2

EVENTS_SHARE, BULK_SHARE = 0.2, 0.05
"""Events for each slate, and bulk requests for each of either, while more of these are asked for than can be done."""

BURST = 2.0
"""What a burst may make a request wait, of what a standing queue may."""
BULK_TARGET_MS = 500.0
"""Whoever imports may wait for longer than whoever looks at a page."""

RETRY_AFTER_S = (1, 2, 3)
"""Told in turn, so that those refused together do not come back together."""

ADMITTED = "slatewise.admitted"
"""Key in the scope of a request that the server's protocol let in."""


class Refusal:
    """A whole answer of 503, made once: it tells nothing of the request."""

    def __init__(self, retry_after_s: int) -> None:
        self.body = json_bytes(overloaded_document())
        self.headers = [
            (b"retry-after", b"%d" % retry_after_s),
            (b"content-length", b"%d" % len(self.body)),
            (b"content-type", PROBLEM_TYPE.encode()),
        ]
        self.head = b"".join(b"%b: %b\r\n" % header for header in self.headers)


class Overload:
    """The lanes of one door, and the decision to let a request into one."""

    def __init__(self, settings: Settings, processors: int, metrics: Metrics, clock: Clock) -> None:
        http, deadline_ms = settings.http, settings.serving.deadline_ms
        wait_ms = http.queue_share * deadline_ms
        self._metrics = metrics
        self._refusals = cycle([Refusal(seconds) for seconds in RETRY_AFTER_S])

        def lane(name: str, slots: int, wait_ms: float, share: float = 1.0, above: Sequence[Lane] = ()) -> Lane:
            return Lane(
                name,
                slots,
                clock,
                limit=http.queue,
                patience_ms=BURST * wait_ms,
                target_ms=wait_ms,
                share=share,
                above=above,
                tell_wait=metrics.queues.waits(name),
                tell_full=metrics.queues.rejections(name, "full"),
                tell_late=metrics.queues.rejections(name, "late"),
            )

        self.slates = lane("slates", http.max_concurrency or processors, wait_ms)
        self.events = lane("events", WRITERS, wait_ms, EVENTS_SHARE, [self.slates])
        self.bulk = lane("bulk", BULK, BULK_TARGET_MS, BULK_SHARE, [self.slates, self.events])
        self._of: dict[Kind, Lane] = {"slates": self.slates, "events": self.events, "bulk": self.bulk}
        self.waiters = lane("waiters", WAITERS, math.inf)
        self.operation = lane("operation", OPERATORS, math.inf)

    def is_full(self, route: Route) -> bool:
        """Return whether a request to *route* has to be refused."""
        return self._of[route.kind].is_full

    def admit(self, route: Route, loop: asyncio.AbstractEventLoop) -> None:
        """Count a request whose task was just made as one in the queue, until that task had its first turn.

        All that one look at the sockets finds is judged before any task runs: uncounted, a burst would slip in whole.
        """
        lane = self._of[route.kind]
        lane.arriving += 1
        loop.call_soon(lane.arrived)

    def refusal(self, route: Route, method: str, *, is_counted: bool = False) -> Refusal:
        """Return the answer to a request there is no room for, and count it as refused.

        *is_counted* says that somebody else counts it among the requests answered.
        """
        self._of[route.kind].tell_full()
        if not is_counted:
            self._metrics.refused(route.path_format, method)
        return next(self._refusals)

    def tell(self) -> None:
        """Tell the metrics how things stand."""
        for kind, lane in self._of.items():
            self._metrics.queues.state(kind, lane.waiting, lane.bound)

    def stop(self) -> None:
        """Let all threads go."""
        for lane in (*self._of.values(), self.waiters, self.operation):
            lane.stop()


class Admission:
    """Refuses what there is no room for before its body is read, whatever server it came through."""

    def __init__(self, app: ASGIApp, overload: Overload) -> None:
        self._app, self._overload = app, overload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope.pop(ADMITTED, False):
            route = classify(scope["method"], exact_path(scope), declared_bytes(scope["headers"]))
            if route is not None and self._overload.is_full(route):
                scope["route"] = route
                refusal = self._overload.refusal(route, scope["method"], is_counted=True)
                await send({"type": "http.response.start", "status": 503, "headers": refusal.headers})
                await send({"type": "http.response.body", "body": refusal.body})
                return
        await self._app(scope, receive, send)


def declared_bytes(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Return the declared length of a body, 0 where none is."""
    for name, value in headers:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) <= 15 else 0
    return 0


def processors(workers: int = 1) -> int:
    """Return one of *workers*' share of the processors, two at least: while one call of a lane waits, another works."""
    known = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(2, known // workers)

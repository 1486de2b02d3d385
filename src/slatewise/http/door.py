"""What every route works with: the home, the metrics, the clock, and the lanes that the synchronous core runs in."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from slatewise.domain.answer import Answer
from slatewise.domain.errors import InputError
from slatewise.domain.events import Interaction, Receipt
from slatewise.domain.query import Query
from slatewise.http.home_api import HomeApi
from slatewise.http.lane import Lane
from slatewise.http.logs import note
from slatewise.http.overload import Overload
from slatewise.ports.clock import Clock
from slatewise.telemetry.metrics import Metrics

R = TypeVar("R")
T = TypeVar("T")

NOTICED_MS = 1.0
"""A query that waited for longer has that much less of its deadline left."""
LEAST_MS = 1.0
"""Left of a deadline in any case, for the core takes none of 0."""
BEGUN_BY_MS = 20.0
"""Within this a query is begun however short its deadline: the ladder's last rung answers as soon as a refusal would,
which would say that there is too much to do when there is not."""
LATEST = 0.75
"""Of its deadline, after which a query is not begun any more. Whoever was let in is not sent away sooner: of refusals
that come so late, one in a hundred is too much, and what is left of the time is enough for a slate."""


@dataclass(frozen=True)
class Door:
    """The parts behind the routes. Each class of work has threads of its own: a query waiting for a version must never
    keep out the event it waits for, nor an import the queries."""

    home: HomeApi
    metrics: Metrics
    clock: Clock
    overload: Overload

    async def read(self, call: Callable[..., R], *arguments: object) -> R:
        """Run a call that looks something up. Raises Overloaded, as all of these do."""
        return await self.overload.bulk.run(partial(call, *arguments))

    async def write(self, call: Callable[..., R], *arguments: object) -> R:
        """Run a call that imports or administers."""
        return await self.overload.bulk.run(partial(call, *arguments))

    async def remove(self, call: Callable[..., R], *arguments: object) -> R:
        """Run a call that removes something, as urgent as an event."""
        return await self.overload.events.run(partial(call, *arguments))

    async def operate(self, call: Callable[..., R], *arguments: object) -> R:
        """Run a call for whoever operates the server: never refused."""
        return await self.overload.operation.run(partial(call, *arguments))

    async def answer(self, query: Query) -> Answer:
        """Return the slate. What it waits for a thread comes off its deadline."""
        note(query.request_id, query.user_id)
        deadline_ms = self.home.settings.serving.deadline_ms if query.deadline_ms is None else query.deadline_ms
        begun = self.clock.elapsed_ms()

        def call() -> Answer:
            waited = self.clock.elapsed_ms() - begun
            if waited < NOTICED_MS:
                return self.home.answer(query)
            return self.home.answer(replace(query, deadline_ms=max(LEAST_MS, deadline_ms - waited)))

        if query.min_version is not None and query.min_version > self.home.version:
            # Waits without computing, for longer than a deadline if it must: it may not hold a thread that computes.
            return await self.overload.waiters.run(partial(self.home.answer, query))
        return await self.overload.slates.run(call, begun + max(LATEST * deadline_ms, BEGUN_BY_MS))

    async def slate(self, call: Callable[..., R], *arguments: object) -> R:
        """Run a call that ranks something other than a query's slate."""
        until_ms = self.clock.elapsed_ms() + LATEST * self.home.settings.serving.deadline_ms
        return await self.overload.slates.run(partial(call, *arguments), until_ms)

    async def record(self, events: list[Interaction], lane: Lane) -> Receipt:
        """Store interactions in a lane: durable, and visible to every later answer."""
        return await self._batch("events", self.home.record, events, lane)

    async def write_batch(self, field: str, call: Callable[[list[T]], R], batch: list[T]) -> R:
        """Run a call that imports what was sent as *field*.

        Raises InputError for a batch above the settings' limit, and for a wrong entry by the name it was sent under.
        """
        return await self._batch(field, call, batch, self.overload.bulk)

    async def _batch(self, field: str, call: Callable[[list[T]], R], batch: list[T], lane: Lane) -> R:
        limit = self.home.settings.ingest.max_batch
        if len(batch) > limit:
            raise InputError(field, f"{len(batch)} entries", f"at most {limit} (ingest.max_batch)")
        try:
            return await lane.run(partial(call, batch))
        except InputError as error:
            inside = error.field
            # The core speaks of events, and of when they happened as ``at``; the caller sent other words.
            error.field = re.sub(r"\.at$", ".timestamp", re.sub(r"^events(?=\[)", field, inside))
            error.args = (str(error).replace(inside, error.field, 1),)
            raise

    def check_size(self, size: int) -> None:
        """Raise InputError for more items than one slate may hold."""
        limit = self.home.settings.serving.max_size
        if size > limit:
            raise InputError("size", size, f"at most {limit} (serving.max_size)")

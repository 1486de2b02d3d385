"""What every route works with: the home, the metrics, the clock, and threads for the synchronous core."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from slatewise.domain.errors import InputError
from slatewise.http.home_api import HomeApi
from slatewise.ports.clock import Clock
from slatewise.telemetry.metrics import Metrics

R = TypeVar("R")
T = TypeVar("T")

READERS = 32
WRITERS = 64
"""Writers mostly wait for one shared sync of the log, so many of them make it cheaper."""


@dataclass(frozen=True)
class Door:
    """The parts behind the routes. Reads and writes have threads of their own: a query waiting for a version must never
    keep out the event it waits for."""

    home: HomeApi
    metrics: Metrics
    clock: Clock
    _readers: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(READERS))
    _writers: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(WRITERS))

    async def read(self, call: Callable[..., R], *arguments: object) -> R:
        """Run a reading call of the home in a thread."""
        return await to_thread.run_sync(partial(call, *arguments), limiter=self._readers)

    async def write(self, call: Callable[..., R], *arguments: object) -> R:
        """Run a writing call of the home in a thread."""
        return await to_thread.run_sync(partial(call, *arguments), limiter=self._writers)

    async def write_batch(self, field: str, call: Callable[[list[T]], R], batch: list[T]) -> R:
        """Run a writing call on what was sent as *field*.

        Raises InputError for a batch above the settings' limit, and for a wrong entry by the name it was sent under.
        """
        limit = self.home.settings.ingest.max_batch
        if len(batch) > limit:
            raise InputError(field, f"{len(batch)} entries", f"at most {limit} (ingest.max_batch)")
        try:
            return await self.write(call, batch)
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

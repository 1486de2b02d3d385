"""Writes down what was shown to whom, after the answer. Knows neither log nor catalogue: it is given both ends."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Thread

from slatewise.domain.events import Event, Impression
from slatewise.domain.query import Query
from slatewise.domain.settings import TelemetrySettings
from slatewise.domain.slate import Slate
from slatewise.ports.clock import Again, Clock
from slatewise.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)

QUEUE_LIMIT = 10_000
"""Impressions waiting at most; past it new ones are dropped and counted, so a slow disk never costs an answer."""

BATCH_LIMIT = 256
"""Impressions in one append."""

LINGER_S = 0.1
"""How long a first impression waits for company: fewer syncs of the log, and events need not queue behind them."""


class ImpressionLog:
    """An `Observer` that appends an `Impression` for every slate a known user was shown.

    Honest means: what a user did not see is never logged as seen, and what they saw is logged whole or not at all.
    So anonymous slates, empty ones and explanations (an operator looks at those) are left out, while a slate from the
    cache counts like any other: it was shown again, under a request id that clicks will name. Thread-safe.
    """

    def __init__(
        self,
        append: Callable[[Sequence[Event]], object],
        item_ids: Callable[[Slate], tuple[str, ...]],
        clock: Clock,
        settings: TelemetrySettings,
        metrics: Metrics | None = None,
        queue_limit: int = QUEUE_LIMIT,
        catch_up: Callable[[], object] = lambda: None,
    ) -> None:
        """Start the writer, unless impressions are off.

        *append* stores events durably; *item_ids* names the shown items in display order; *catch_up* is called before
        each append and tells `drop` of users that another process forgot.
        """
        self._append, self._item_ids, self._clock, self._catch_up = append, item_ids, clock, catch_up
        self._metrics = metrics or Metrics()
        self._limit = queue_limit
        self._changed = Condition()
        self._queue: deque[tuple[int, Impression]] = deque()
        self._writing: list[tuple[int, Impression]] = []
        self._number = 0
        self._hurried = 0
        self._closed = settings.impressions == "off"
        self._is_on = not self._closed
        self._writer = Thread(target=self._write, name="slatewise-impressions", daemon=True)
        if self._is_on:
            self._writer.start()

    def served(self, query: Query, slate: Slate) -> None:
        """Queue what was shown. Never waits for the disk; drops and counts when the queue is full."""
        impression = self._impression(query, slate)
        if impression is not None:
            self._enqueue(impression)

    def again(self, query: Query, slate: Slate) -> Again | None:
        shown = self._impression(query, slate)
        if shown is None:
            return None
        user_id, ids, propensity, explored_from, context = (
            shown.user_id, shown.shown, shown.propensity, shown.explored_from, shown.context
        )  # fmt: skip

        def again(request_id: str, ms: float) -> None:
            self._enqueue(
                Impression(
                    at=self._clock.now(), user_id=user_id, request_id=request_id, shown=ids, propensity=propensity,
                    explored_from=explored_from, context=context,
                )
            )  # fmt: skip

        return again

    def _impression(self, query: Query, slate: Slate) -> Impression | None:
        if not self._is_on or query.user_id is None or query.explain or not len(slate.shown):
            return None
        # Ids are resolved here: the queue then holds a few strings, not whole slates.
        return Impression(
            at=self._clock.now(),
            user_id=query.user_id,
            request_id=slate.request_id,
            shown=self._item_ids(slate),
            propensity=slate.propensities(),
            explored_from=slate.explored_from,
            # A copy: the caller's mapping may change while this waits to be written.
            context=dict(query.context),
        )

    def _enqueue(self, impression: Impression) -> None:
        with self._changed:
            waiting = len(self._queue)
            is_closed, is_full = self._closed, waiting >= self._limit
            if not is_closed and not is_full:
                self._number += 1
                self._queue.append((self._number, impression))
                # The writer waits for the first and for a whole batch. To wake it for each would cost more than all
                # else here, and a turn of the interpreter.
                if waiting == 0 or waiting == BATCH_LIMIT - 1:
                    self._changed.notify_all()
                return
        self._metrics.impressions_lost(1, "closed" if is_closed else "full")

    def forget(self, user_id: str) -> None:
        """Drop what is queued for a user and wait for what is being written.

        Call it before a `UserRemoval` is appended, so that no impression follows the removal.
        """
        self.drop(lambda other: other == user_id)
        with self._changed:
            self._changed.wait_for(lambda: all(i.user_id != user_id for _, i in self._writing))

    def drop(self, is_gone: Callable[[str], bool]) -> None:
        """Drop what is queued for users that *is_gone*, without waiting."""
        with self._changed:
            self._queue = deque(entry for entry in self._queue if not is_gone(entry[1].user_id))
            self._changed.notify_all()

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until everything queued by now is appended; False where *timeout_s* seconds did not suffice."""
        with self._changed:
            newest = self._number
            self._hurried += 1
            self._changed.notify_all()
            done = self._changed.wait_for(
                lambda: all(entries[0][0] > newest for entries in (self._writing, self._queue) if entries), timeout_s
            )
            self._hurried -= 1
            return done

    def close(self, timeout_s: float = 10.0) -> None:
        """Append what is queued and stop. Later slates are dropped and counted. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._writer.is_alive():
            self._writer.join(timeout_s)

    def _write(self) -> None:
        while batch := self._next_batch():
            try:
                self._append(batch)
                self._metrics.impressions(len(batch))
            except Exception:  # noqa: BLE001 - a writer that dies would lose every later impression in silence
                self._metrics.impressions_lost(len(batch), "failed")
                _log.exception("%d impressions were not logged", len(batch))
            with self._changed:
                self._writing = []
                self._changed.notify_all()

    def _next_batch(self) -> list[Impression]:
        """Wait for impressions and take up to a batch of them; empty once closed and drained."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return []
                self._changed.wait_for(self._is_time, LINGER_S)
            self._look_for_removals()
            with self._changed:
                take = min(BATCH_LIMIT, len(self._queue))
                self._writing = [self._queue.popleft() for _ in range(take)]
                if self._writing:
                    return [impression for _, impression in self._writing]

    def _look_for_removals(self) -> None:
        # Without our lock, for whoever follows the log calls `drop`.
        try:
            self._catch_up()
        except Exception:  # noqa: BLE001 - as in `_write`; what cannot be read is told by every request
            _log.exception("impressions are written without looking for removed users first")

    def _is_time(self) -> bool:
        return self._closed or self._hurried > 0 or len(self._queue) >= BATCH_LIMIT

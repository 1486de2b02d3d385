"""The one thread that writes: whoever waits at the same time shares one transaction and one sync (group commit)."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

from slatewise.domain.errors import Conflict, StorageError
from slatewise.domain.events import Receipt
from slatewise.storage.encoding import EncodedEvent

GROUP_EVENTS = 50_000
"""Events after which a transaction takes no further caller, so that nobody waits for a whole import."""

Batch = Sequence[EncodedEvent]


class Waiting:
    """A caller with events to append, and what becomes of them."""

    def __init__(self, events: Batch = ()) -> None:
        self.events = events
        self.receipt: Future[Any] = Future()


W = TypeVar("W", bound=Waiting)


class Turnstile(Generic[W]):
    """Hands whoever waits to one thread, group by group, in the order they came. Thread-safe."""

    def __init__(self, take: Callable[[list[W]], None], at_end: Callable[[], object] = lambda: None) -> None:
        """Begin. *take* gives each of a group its receipt or error; *at_end* is called after the last. Both in the
        thread."""
        self._take, self._at_end = take, at_end
        self._queue: queue.SimpleQueue[W | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._refusal: tuple[type[StorageError], str] | None = None
        self._thread = threading.Thread(target=self._run, name="event-log-writer", daemon=True)
        self._thread.start()

    def wait(self, waiting: W) -> Any:
        """Return the receipt. Raises what *take* gave instead, and StorageError where nobody is let in any more."""
        with self._gate:
            if self._refusal is not None:
                kind, why = self._refusal
                raise kind(why)
            self._queue.put(waiting)
        return waiting.receipt.result()

    def refuse(self, kind: type[StorageError], why: str) -> None:
        """Let nobody in from now on; who waits already is still taken."""
        with self._gate:
            self._refusal = kind, why

    def close(self) -> None:
        """Finish what was let in, then stop. May be called twice."""
        with self._gate:
            first = self._refusal is None or self._thread.is_alive()
            self._refusal = self._refusal or (StorageError, "the event log is closed")
            if first:
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            with self._gate:
                self._refusal = self._refusal or (StorageError, "the writer of the event log stopped")
            while not self._queue.empty():
                waiting = self._queue.get()
                if waiting is not None:
                    waiting.receipt.set_exception(StorageError(self._refusal[1]))

    def _serve(self) -> None:
        last = False
        while not last:
            group, last = self._next_group()
            try:
                if group:
                    self._take(group)
            finally:
                for waiting in group:
                    # Only after a programming error: nobody may wait for a thread that is gone.
                    if not waiting.receipt.done():
                        waiting.receipt.set_exception(StorageError("the writer of the event log stopped"))
        self._at_end()

    def _next_group(self) -> tuple[list[W], bool]:
        group: list[W] = []
        events = 0
        while events < GROUP_EVENTS:
            try:
                waiting = self._queue.get(block=not group)
            except queue.Empty:
                break
            if waiting is None:
                return group, True
            group.append(waiting)
            events += len(waiting.events)
        return group, False


class Failed(Exception):
    """A group could not be stored, or nobody knows. Its callers are told the text, as an error of the *kind*."""

    def __init__(self, told: str, kind: type[StorageError] = StorageError) -> None:
        super().__init__(told)
        self.kind = kind


class Transaction(Protocol):
    """What a database does for a group. Called by one thread only."""

    def write(self, group: Sequence[Batch]) -> Sequence[Receipt | Conflict]:
        """Store the batches in one transaction and return, once they are on disk, a receipt for each.

        A Conflict in a receipt's place: that batch was left out. Raises Failed; then nobody gets a receipt.
        """
        ...

    def close(self) -> None: ...


class GroupCommit:
    """Appends encoded events durably, in the order they came. Thread-safe. Owns the transaction it is given."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._turnstile: Turnstile[Waiting] = Turnstile(self._take)

    def submit(self, events: Batch) -> Receipt:
        """Return once the events are on disk, all or none. Raises Conflict, and StorageError of any kind."""
        receipt: Receipt = self._turnstile.wait(Waiting(events))
        return receipt

    def close(self) -> None:
        """Finish what was submitted, then stop. May be called twice."""
        self._turnstile.close()
        self._transaction.close()

    def _take(self, group: list[Waiting]) -> None:
        try:
            self._write(group)
        except Failed as failed:
            for waiting in group:
                waiting.receipt.set_exception(failed.kind(str(failed)))

    def _write(self, group: Sequence[Waiting]) -> None:
        answers = self._transaction.write([waiting.events for waiting in group])
        for waiting, answer in zip(group, answers, strict=True):
            if isinstance(answer, Conflict):
                waiting.receipt.set_exception(answer)
            else:
                waiting.receipt.set_result(answer)

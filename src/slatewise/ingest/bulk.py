"""Imports: many events into the log in big transactions, bad ones set aside. Folds nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from slatewise.domain.errors import InputError
from slatewise.domain.events import Event
from slatewise.ingest.validation import Rules, check_event
from slatewise.ports.stores import EventLog


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """What became of the events so far."""

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    version: int = 0
    """The log version that holds them all."""

    @property
    def read(self) -> int:
        """All events looked at."""
        return self.accepted + self.duplicates + self.rejected


@dataclass(frozen=True, slots=True)
class Reject:
    """An event that was not stored: its place among all events of the import, and why."""

    position: int
    event: Event
    error: InputError


def import_events(
    log: EventLog,
    chunks: Iterable[Sequence[Event]],
    rules: Rules,
    *,
    on_progress: Callable[[ImportCounts], None] | None = None,
    on_reject: Callable[[Reject], None] | None = None,
) -> ImportCounts:
    """Append chunk after chunk, each in one transaction, and return the counts.

    Chunks of 20,000 to 50,000 events are quickest. Bad events go to *on_reject* and do not stop the rest; it may raise
    to stop the import, which keeps the chunks before. *on_progress* is told after each chunk. Events with an
    ``event_id`` may be imported again without being stored twice. Raises StorageError.
    """
    counts = ImportCounts(version=log.end)
    for chunk in chunks:
        good: list[Event] = []
        for place, event in enumerate(chunk):
            try:
                check_event(event, rules)
            except InputError as error:
                if on_reject is not None:
                    on_reject(Reject(counts.read + place, event, error))
            else:
                good.append(event)
        receipt = log.append(good)
        counts = ImportCounts(
            accepted=counts.accepted + receipt.accepted,
            duplicates=counts.duplicates + receipt.duplicates,
            rejected=counts.rejected + len(chunk) - len(good),
            version=receipt.version,
        )
        if on_progress is not None:
            on_progress(counts)
    return counts

"""The one way in: check, store durably, fold into every follower, acknowledge. Knows followers only as followers."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Protocol, runtime_checkable

from slatewise.domain.errors import ConfigError, InputError, NotFound
from slatewise.domain.events import Event, Interaction, ItemChange, Receipt, Stored
from slatewise.domain.settings import Settings
from slatewise.ingest.validation import Rules, check_events
from slatewise.ports.clock import Clock
from slatewise.ports.stores import Catalogue, EventLog, Follower

CHUNK = 2_000
"""Events handed to a follower at once: bounds how long a follower may keep its own readers waiting."""

POLL_S = 0.005
"""How often a waiter looks for other processes' writes."""


@runtime_checkable
class _Standing(Protocol):
    @property
    def followed(self) -> int: ...


class _Seat:
    """A follower and the version up to which it has followed."""

    def __init__(self, follower: Follower, at: int) -> None:
        self.follower = follower
        self.at = at


class Ingest:
    """Accepts events and keeps followers up with the log. Thread-safe.

    Every follower gets every event but impressions from its start on, in log order, exactly once, also events that
    other processes wrote. Followers are served in the order given: put those first that later ones read from. Should
    one raise, the ones after it stay behind too, and the next `catch_up` goes on where each of them stands.

    A follower that says where it stands (``followed``) goes on from there, any other from the log's beginning.
    *catalogue* is asked only where settings refuse unknown items.
    """

    def __init__(
        self,
        log: EventLog,
        followers: Sequence[Follower],
        settings: Settings,
        clock: Clock,
        *,
        catalogue: Catalogue | None = None,
    ) -> None:
        if settings.ingest.unknown_items == "refuse" and catalogue is None:
            raise ConfigError("ingest.unknown_items = refuse needs a catalogue to ask")
        self._log = log
        self._settings = settings
        self._clock = clock
        self._catalogue = catalogue
        self._seats = [_Seat(f, f.followed if isinstance(f, _Standing) else 0) for f in followers]
        self._applied = min((seat.at for seat in self._seats), default=log.end)
        self._folding = threading.Lock()
        self._moved = threading.Condition()

    @property
    def applied(self) -> int:
        """The version that every follower reflects."""
        return self._applied

    @property
    def is_current(self) -> bool:
        """Whether every follower reflects all that it follows and that was acknowledged, by whichever process.

        False also where only a look at the log could say. Waits for nothing.
        """
        end = self._log.glance()
        return end is not None and end <= self._applied

    def record(self, events: Sequence[Event]) -> Receipt:
        """Store events durably and fold them; the answer is true once it is given.

        Raises InputError for the first event that is not acceptable, with nothing stored, and StorageError.
        """
        most = self._settings.ingest.max_batch
        if len(events) > most:
            raise InputError("events", f"{len(events)} events", f"at most {most} at once (ingest.max_batch)")
        check_events(events, Rules.at(self._clock.now(), self._settings.action_names))
        if self._settings.ingest.unknown_items == "refuse":
            self.catch_up()
            self._refuse_unknown_items(events)
        receipt = self._log.append(events)
        self.catch_up()
        return receipt

    def catch_up(self, version: int = 0) -> int:
        """Fold what is new in the log into the followers; return `applied`. Costs microseconds when nothing is new.

        Impressions, which nobody follows, may be left for later, unless they are below *version*.
        """
        if (self._applied >= version and self.is_current) or self._log.end <= self._applied:
            return self._applied
        with self._folding:
            end = self._log.end
            if end > self._applied:
                self._fold(self._seats, end)
                self._applied = end
        with self._moved:
            self._moved.notify_all()
        return self._applied

    def wait_for(self, version: int, timeout_s: float) -> bool:
        """Wait until every follower reflects *version*; return whether they do. Sees other processes' writes too."""
        if self.catch_up(version) >= version:
            return True
        for _ in range(math.ceil(max(0.0, timeout_s) / POLL_S)):
            with self._moved:
                self._moved.wait_for(lambda: self._applied >= version, POLL_S)
            if self.catch_up(version) >= version:
                return True
        return False

    def bring_up(self, follower: Follower, from_offset: int) -> int:
        """Bring a follower that stands at *from_offset* up to `applied` and return where it stands: seat it from there.

        Nobody waits for this, however long the way is.
        """
        seat = _Seat(follower, from_offset)
        self._fold([seat], self._applied)
        return seat.at

    def add_follower(self, follower: Follower, from_offset: int, publish: Callable[[], None] = lambda: None) -> None:
        """Bring a follower that stands at *from_offset* up to `applied`, then keep it up with the others.

        *publish* is called in the moment in which it is: no event is folded meanwhile.
        """
        self._admit(None, follower, from_offset, publish)

    def replace_follower(
        self, old: Follower, new: Follower, from_offset: int, publish: Callable[[], None] = lambda: None
    ) -> None:
        """Put *new* in the place of *old*, brought up to `applied`: no event is missed or told twice.

        *new* follows the long way without holding anybody up; *publish* as in `add_follower`. Raises NotFound where
        *old* is no follower.
        """
        self._admit(old, new, from_offset, publish)

    def _admit(self, old: Follower | None, new: Follower, from_offset: int, publish: Callable[[], None]) -> None:
        seat = _Seat(new, self.bring_up(new, from_offset))
        with self._folding:
            self._fold([seat], self._applied)
            if old is None:
                self._seats = [*self._seats, seat]
            elif any(s.follower is old for s in self._seats):
                self._seats = [seat if s.follower is old else s for s in self._seats]
            else:
                raise NotFound("the follower to replace is not following")
            publish()

    def _fold(self, seats: Sequence[_Seat], end: int) -> None:
        start = min((seat.at for seat in seats), default=end)
        if start >= end:
            return
        # Most of a busy log is what was shown, which changes no view: every process would decode all of it.
        events = iter(self._log.read(start, end, impressions=False))
        while chunk := list(islice(events, CHUNK)):
            done = chunk[-1].offset + 1
            for seat in seats:
                if seat.at < done:
                    seat.follower.follow(_from(chunk, seat.at))
                    seat.at = done
        for seat in seats:
            seat.at = max(seat.at, end)

    def _refuse_unknown_items(self, events: Sequence[Event]) -> None:
        catalogue = self._catalogue
        if catalogue is None:
            return
        introduced = {event.item_id for event in events if isinstance(event, ItemChange)}
        for i, event in enumerate(events):
            if not isinstance(event, Interaction) or event.item_id in introduced:
                continue
            if catalogue.row(event.item_id) < 0:
                raise InputError(f"events[{i}].item_id", event.item_id, "an item of the catalogue")


def _from(chunk: list[Stored], offset: int) -> list[Stored]:
    if chunk[0].offset >= offset:
        return chunk
    return [stored for stored in chunk if stored.offset >= offset]

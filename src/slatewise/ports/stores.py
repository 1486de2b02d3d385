"""What must outlive the process, and the views folded from it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from slatewise.domain.columns import Interactions
from slatewise.domain.erasure import Erased
from slatewise.domain.events import Event, Impression, ItemChange, Receipt, Stored, UserChange
from slatewise.domain.facts import ItemFacts, UserFacts, UserOffsets
from slatewise.domain.ids import Mask, Rows
from slatewise.domain.query import Condition, UserState


class EventLog(Protocol):
    """Every event, once, in the order it was accepted. The only source of truth. Thread-safe."""

    @property
    def end(self) -> int:
        """The offset after the last durable event; 0 for an empty log."""
        ...

    def glance(self) -> int | None:
        """Return an `end` from a moment ago where that is enough to know, None where only a look can say.

        Whatever was acknowledged before the call, by whichever process, is below it, but for impressions, which change
        nothing that is known of items and users. Waits for nothing, not for a lock.
        """
        ...

    @property
    def trouble(self) -> str | None:
        """Why writes are refused now, such as a full disk; None where they are not."""
        ...

    def append(self, events: Sequence[Event]) -> Receipt:
        """Store *events* durably, all or none, and return once they are on disk.

        An event whose ``event_id`` is known already is counted as a duplicate and not stored. Concurrent appends
        share one sync (group commit). Raises Conflict where the known one has another user, item, action or value,
        with nothing stored, and StorageError when durability cannot be had.
        """
        ...

    def read(self, start: int = 0, stop: int | None = None, *, impressions: bool = True) -> Iterator[Stored]:
        """Yield events with ``start <= offset < stop``, oldest first, all or all but impressions.

        Offsets increase, gaps allowed.
        """
        ...

    def interactions(self, start: int = 0, stop: int | None = None) -> Interactions:
        """Return the interactions in ``[start, stop)`` of users not forgotten, as columns in log order."""
        ...

    def impressions(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Impression]]:
        """Yield ``(offset, impression)`` in log order, of users not forgotten."""
        ...

    def clicks(self) -> Mapping[str, Sequence[tuple[int, int]]]:
        """Return, by request_id, the ``(item row, action index)`` pairs that named that request."""
        ...

    def close(self) -> None: ...


class LogStore(EventLog, Protocol):
    """An event log that keeps what the views are folded from, whatever database it lives in. Thread-safe."""

    @property
    def is_near(self) -> bool:
        """Whether a look at `end` costs microseconds and waits for no other machine."""
        ...

    @property
    def identity(self) -> str:
        """What tells this log from every other, its own copies among them: rows and versions mean something in one."""
        ...

    @property
    def action_names(self) -> tuple[str, ...]:
        """The declared actions: the meaning of every action index."""
        ...

    def user_facts(self, user_id: str, before: int) -> UserFacts | None:
        """Return the user as of version *before*, None where no event below it names them. One round trip."""
        ...

    def user_changes(self, before: int) -> Mapping[int, UserChange]:
        """Return by user row the last change of every described user not forgotten, as of *before*."""
        ...

    def user_ids(self, rows: Rows) -> list[str]:
        """Return the id in each user row, empty where no user has it."""
        ...

    def user_rows(self, ids: Collection[str]) -> Mapping[str, int]:
        """Return the row of every user id that has one."""
        ...

    def user_pages(self) -> Iterator[list[str]]:
        """Yield the ids of all users, part by part."""
        ...

    def user_offsets(self, user_id: str) -> UserOffsets | None:
        """Return where a user's events are, removed or not; None for somebody the log knows nothing of."""
        ...

    def rows_at(self, offsets: Sequence[int]) -> list[tuple[Any, ...]]:
        """Return ``(item id, action, at, value, event_id, request_id, body)`` by offset; of erased ones nothing."""
        ...

    def erase_user(self, user_id: str, at: float) -> Erased | None:
        """Destroy all that the log holds of a user, at the instant *at*; None where it never heard of them.

        Offsets of others stay. A `UserRemoval` of nobody by name, with the user's row, tells followers. Copies may lie
        about until `compact` and `empty`. Raises StorageError; then it is not known whether they are erased.
        """
        ...

    def compact(self) -> None:
        """Clear away what is left of erased rows; appends may wait. Raises StorageError."""
        ...

    def empty(self) -> bool:
        """Clear away the last copies; False where a reader was in the way: try again. Raises StorageError."""
        ...

    def item_facts(self) -> ItemFacts:
        """Return what the log says of all items, as of its end."""
        ...


class Follower(Protocol):
    """Folds accepted events, in log order, before their acknowledgement; impressions are no concern of theirs.

    Must not fail on a valid event.
    """

    def follow(self, events: Sequence[Stored]) -> None: ...


class Catalogue(Protocol):
    """The items that exist now, as columns by row. Reads never block; a write is seen whole or not at all."""

    @property
    def version(self) -> int:
        """The log offset after the last item change or new item; cache keys carry it."""
        ...

    def __len__(self) -> int:
        """The number of rows ever given, removed items included."""
        ...

    def row(self, item_id: str) -> int:
        """Return the row of an id, -1 where it is unknown."""
        ...

    def rows(self, item_ids: Sequence[str]) -> Rows:
        """Return the row of each id, -1 where it is unknown; shape ``(n,)``."""
        ...

    def ids(self, rows: Rows) -> list[str]:
        """Return the id in each row."""
        ...

    @property
    def available(self) -> Mask:
        """Per row, whether the item exists and is available; shape ``(len,)``. Do not write to it."""
        ...

    @property
    def created_at(self) -> npt.NDArray[np.float64]:
        """Per row, when the item was created, seconds; NaN where unknown; shape ``(len,)``."""
        ...

    def item(self, row: int) -> ItemChange | None:
        """Return the item's current state, None where it was removed or never described beyond its id."""
        ...

    def exists(self, row: int) -> bool:
        """Whether the row holds an item that was not removed."""
        ...

    def codes(self, attribute: str) -> npt.NDArray[np.int64]:
        """Return per row the code of the attribute's first value (``categories`` too), -1 where missing or a vector."""
        ...

    def meeting(self, where: Mapping[str, Condition]) -> Mask:
        """Return per row whether every condition holds; a missing value meets none but ``ne``/``not_in``.

        A vector counts as missing. Raises InputError naming the attribute or operator that makes no sense, and for an
        attribute that holds nothing but vectors.
        """
        ...


class UserStore(Protocol):
    """What each user did and is. Thread-safe."""

    def state(self, user_id: str) -> UserState:
        """Return the user's state with the newest interactions (settings' history_length); a blank one if unknown."""
        ...

    def glance(self, user_id: str) -> int | None:
        """Return the version of the user's state where that is known at once, None where only a look could say."""
        ...

    def change(self, user_id: str) -> UserChange | None:
        """Return the user's attributes as last told, None where unknown or forgotten."""
        ...

    def knows(self, user_id: str) -> bool:
        """Whether the user has a history or attributes, and was not forgotten."""
        ...

    def attributes(self) -> Mapping[int, UserChange]:
        """Return every described user's attributes by user row (for training)."""
        ...

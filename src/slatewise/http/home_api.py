"""What the HTTP door asks of an opened home. Knows nothing of how a home does it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from slatewise.domain.answer import Answer, AnswerItem
from slatewise.domain.erasure import Erasure
from slatewise.domain.events import Interaction, ItemChange, Receipt, UserChange
from slatewise.domain.query import Query
from slatewise.domain.settings import Settings
from slatewise.ports.keys import KeyRing


class BundleSummary(Protocol):
    """One published bundle. ``created_at`` is in seconds since the epoch; ``metrics`` holds what JSON can hold."""

    @property
    def id(self) -> str: ...

    @property
    def created_at(self) -> float | None: ...

    @property
    def live(self) -> bool: ...

    @property
    def metrics(self) -> Mapping[str, object]: ...


class EncoreApi(Protocol):
    """An answer to be given once more."""

    @property
    def answer(self) -> Answer:
        """As it was given first: all but its request id and timings is the same."""
        ...

    @property
    def query(self) -> Query:
        """A query that it answers."""
        ...

    form: Any
    """What the door keeps with it; None at first."""

    def told(self, request_id: str, ms: float, /) -> None:
        """Tell whoever watches that it was given once more. Takes microseconds."""
        ...


class EncoresApi(Protocol):
    """Answers of a moment ago that still hold. Waits for nothing, so an event loop may call it."""

    def remember(self, name: bytes, query: Query, beside: object = None, /) -> None:
        """Remember that *name*, such as the bytes of a request, asks what *query* does, whenever it comes.

        What the door wants to find with it stands *beside* it.
        """
        ...

    def find(self, name: bytes, /) -> tuple[EncoreApi, Any] | None:
        """Return what answers the question of that name as things stand, and what was left beside it.

        None where that is not known at once.
        """
        ...


class HomeApi(Protocol):
    """An opened home. Every method is synchronous, thread-safe, and raises the errors of ``domain/errors.py`` only."""

    @property
    def settings(self) -> Settings: ...

    @property
    def encores(self) -> EncoresApi: ...

    @property
    def keys(self) -> KeyRing:
        """Who may call."""
        ...

    @property
    def version(self) -> int:
        """The log offset after the newest event reflected here."""
        ...

    @property
    def live_bundle(self) -> str | None:
        """The id of the bundle that answers, None without one. May look at the disk."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why writes are refused now, such as a full disk; None where they are not. Names no path."""
        ...

    def new_request_id(self) -> str: ...

    def record(self, events: Sequence[Interaction], /) -> Receipt:
        """Store interactions, all or none; later answers reflect them. Raises InputError."""
        ...

    def put_items(self, items: Sequence[ItemChange], /) -> Receipt: ...

    def item(self, item_id: str, /) -> ItemChange:
        """Return the item's current state. Raises NotFound."""
        ...

    def delete_item(self, item_id: str, /) -> Receipt:
        """Remove an item from the catalogue. Raises NotFound."""
        ...

    def put_users(self, users: Sequence[UserChange], /) -> Receipt: ...

    def user(self, user_id: str, /) -> UserChange:
        """Return the user's attributes. Raises NotFound."""
        ...

    def delete_user(self, user_id: str, /) -> Erasure:
        """Erase a user, down to the bytes. Raises NotFound."""
        ...

    def export_user(self, user_id: str, /) -> Iterator[bytes]:
        """Return all that is known of a user, as the parts of one JSON object. Raises NotFound at once."""
        ...

    def answer(self, query: Query, /) -> Answer:
        """Answer one query. Raises NotReady without a live bundle, InputError for a query that makes no sense."""
        ...

    def similar(self, item_id: str, size: int, /) -> Sequence[AnswerItem]:
        """Return the items most like one, best first. Raises NotFound."""
        ...

    def bundles(self) -> Sequence[BundleSummary]: ...

    def promote(self, bundle_id: str, /) -> str:
        """Make a bundle live and return its id. Raises NotFound or BundleError; the live one stays then."""
        ...

    def close(self) -> None:
        """Flush and release everything. Idempotent."""
        ...

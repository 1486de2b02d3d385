"""What the result cache asks of a tier shared between processes, and of whoever counts what it does."""

from typing import Literal, Protocol, TypeAlias

Shared: TypeAlias = Literal["hit", "miss", "error", "skipped"]
"""How asking or telling the shared tier went; ``skipped`` while it is taken for broken."""


class SharedTier(Protocol):
    """Bytes by key, for a while, in another process. Thread-safe. Gives up within its own short timeout.

    Holds nothing that cannot be made again: it may forget, be empty, or answer with what nobody stored.
    """

    def get(self, key: bytes) -> bytes | None:
        """Return what is stored, None where nothing is. Raises SharedTierLost for anything that goes wrong."""
        ...

    def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """Store *value* for *ttl_s* seconds. Raises SharedTierLost for anything that goes wrong."""
        ...

    def close(self) -> None: ...


class CacheWatch(Protocol):
    """Learns what the result cache does. Thread-safe; must not fail."""

    def holds(self, bytes_held: int, entries: int) -> None:
        """Tell what the process's own tier holds now."""
        ...

    def evicted(self, entries: int) -> None: ...

    def waited(self, was_served: bool) -> None:
        """Tell of one query that waited for an identical one to be computed, and whether that served it."""
        ...

    def shared(self, outcome: Shared) -> None: ...


class NobodyWatches:
    """A `CacheWatch` that forgets."""

    def holds(self, bytes_held: int, entries: int) -> None: ...

    def evicted(self, entries: int) -> None: ...

    def waited(self, was_served: bool) -> None: ...

    def shared(self, outcome: Shared) -> None: ...

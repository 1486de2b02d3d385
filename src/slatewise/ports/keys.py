"""Who may call: what a door asks about a caller's key."""

from __future__ import annotations

from typing import Protocol

from slatewise.domain.keys import ApiKey


class KeyRing(Protocol):
    """The keys of one HOME. Thread-safe; both calls take microseconds, so that every request can make them.

    A key that another process made or revoked is noticed within a second.
    """

    @property
    def is_used(self) -> bool:
        """Whether callers need a key: from the first one on, expired and revoked ones included."""
        ...

    def find(self, token: str) -> ApiKey | None:
        """Return the live key with this token, None for a token that is unknown, expired or revoked."""
        ...

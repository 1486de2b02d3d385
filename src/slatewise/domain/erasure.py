"""What an erasure answers with: proof of what is gone, and a pointer to what may still carry a trace."""

from __future__ import annotations

from dataclasses import dataclass

from slatewise.domain.events import Receipt


@dataclass(frozen=True, slots=True)
class Erased:
    """How many rows of the log were a user's, and the version that shows none of them."""

    interactions: int
    impressions: int
    changes: int
    version: int


@dataclass(frozen=True, slots=True)
class Erasure(Receipt):
    """A user is gone from this HOME, down to the bytes. Counts are of what was destroyed."""

    interactions: int
    impressions: int
    changes: int
    """Descriptions of the user, and earlier removals."""
    rejects: int
    """Lines of HOME/rejects that named the user."""
    entry: str
    """The entry of the erasure ledger: what a restored backup is held against."""
    at: float
    bundles: tuple[str, ...]
    """Bundles trained before: they hold no row of the user's, but what they learned the user took part in."""

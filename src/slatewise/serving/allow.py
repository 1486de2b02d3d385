"""Which rows a query allows: available and meeting ``where``. Knows nothing of users."""

from __future__ import annotations

from collections.abc import Mapping

from cachebox import LRUCache

from slatewise.domain.ids import Mask
from slatewise.domain.query import Condition
from slatewise.ports.stores import Catalogue
from slatewise.serving.canonical import canonical

REMEMBERED = 64
"""Masks kept, one byte per item each."""


class AllowMasks:
    """Makes one mask per catalogue version and ``where``, and remembers the latest. Thread-safe."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._masks: LRUCache[tuple[int, str], tuple[Mask | None]] = LRUCache(REMEMBERED)

    def mask(self, where: Mapping[str, Condition]) -> Mask | None:
        """Return who is allowed, per catalogue row; None where everybody is. Raises InputError for a bad *where*."""
        # The version is read first: a mask may be newer than its key, never older.
        key = (self._catalogue.version, canonical(where) if where else "")
        held = self._masks.get(key)
        if held is None:
            held = self._masks[key] = (self._made(where),)
        return held[0]

    def _made(self, where: Mapping[str, Condition]) -> Mask | None:
        available = self._catalogue.available
        if not where:
            return None if available.all() else available
        meeting = self._catalogue.meeting(where)
        size = min(available.size, meeting.size)
        allowed: Mask = available[:size] & meeting[:size]
        return allowed

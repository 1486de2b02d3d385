"""Answers of a moment ago, given once more: nothing is computed, nobody waits, and every observer hears of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cachebox import LRUCache

from slatewise.domain.answer import Answer
from slatewise.domain.query import Query
from slatewise.ingest.ingest import Ingest
from slatewise.ports.clock import Again, Observer
from slatewise.ports.stores import Catalogue
from slatewise.serving.answer import answer
from slatewise.serving.repeats import KEPT, Kept, Plain, Repeats, plain

NAMES = 2 * KEPT
"""Names remembered at most: of each question as many as there are ways of writing it that somebody uses."""
LONGEST = 2048
"""Bytes of a name that is worth remembering: this bounds them all."""


@dataclass(slots=True)
class Encore:
    """One answer that holds. ``form`` is the door's, to keep what it made of the answer."""

    kept: Kept
    query: Query
    answer: Answer
    again: tuple[Again, ...]
    form: object = None

    def told(self, request_id: str, ms: float) -> None:
        """Tell every observer that it was given once more."""
        for again in self.again:
            again(request_id, ms)


class Encores:
    """Finds an answer that still holds by the name that a door gave its question, such as the bytes it came as.

    What makes it hold is what `Repeats` compares, once every follower reflects what was acknowledged before. All of
    that is looked at in memory: where it would take more, there is no encore, and the question goes the usual way.
    For one thread at a time, but `forget`.
    """

    def __init__(self, repeats: Repeats, ingest: Ingest, observers: Sequence[Observer], catalogue: Catalogue) -> None:
        self._repeats, self._ingest, self._observers, self._catalogue = repeats, ingest, observers, catalogue
        self._asked: LRUCache[bytes, tuple[Plain, object]] = LRUCache(NAMES)
        self._ready: LRUCache[Plain, Encore] = LRUCache(KEPT)

    def remember(self, name: bytes, query: Query, beside: object = None) -> None:
        """Remember that *name* asks what *query* does, whenever it comes, and what the door keeps *beside* it.

        Passes over what is never given twice.
        """
        asked = plain(query) if len(name) <= LONGEST else None
        if asked is not None:
            self._asked[name] = asked, beside

    def find(self, name: bytes) -> tuple[Encore, object] | None:
        """Return what answers the question of that name as things stand, and what is kept beside it.

        None where that is not known at once.
        """
        found = self._asked.get(name)
        if found is None or not self._ingest.is_current:
            return None
        asked, beside = found
        kept = self._repeats.at_once(asked)
        if kept is None:
            return None
        encore = self._ready.get(asked)
        if encore is None or encore.kept is not kept:
            told = answer(kept.slate, self._catalogue)
            again = (observer.again(kept.query, kept.slate) for observer in self._observers)
            encore = Encore(kept, kept.query, told, tuple(tell for tell in again if tell is not None))
            self._ready[asked] = encore
        return encore, beside

    def forget(self, is_gone: Callable[[str], bool]) -> None:
        """Drop everything: names hold what users are called."""
        self._asked.clear()
        self._ready.clear()

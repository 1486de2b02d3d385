"""The READ line with the result cache in front, over whichever bundle is live; pages too. Knows no stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from slatewise.domain.candidate import Candidates
from slatewise.domain.errors import Expired, NotReady
from slatewise.domain.query import ANONYMOUS, Query
from slatewise.domain.settings import Settings
from slatewise.domain.slate import Slate
from slatewise.ports.cache import CacheWatch, NobodyWatches
from slatewise.serving.cache import ResultCache
from slatewise.serving.cursors import ITEMS, Cursors
from slatewise.serving.flights import Flight, Flights
from slatewise.serving.held import Held
from slatewise.serving.ladder import best_possible
from slatewise.serving.question import Questions
from slatewise.serving.recommender import Recommender
from slatewise.serving.resolve import Resolution
from slatewise.serving.shared import SharedSlates
from slatewise.serving.trace import Trace

_UNTOLD = NobodyWatches()


@dataclass(frozen=True, slots=True)
class _Asked:
    """One query on its way, by the recommender that was live when it came."""

    recommender: Recommender
    resolution: Resolution
    trace: Trace
    theme: bytes
    question: bytes
    edition: bytes

    @property
    def query(self) -> Query:
        return self.resolution.resolved.query


class CachedRecommender:
    """Answers from the cache where nothing that shapes the slate has changed, else from the live recommender.

    A hit is composed anew: the filters run against users and catalogue as they are now, the reranker draws its
    exploration slot again (its propensities are of this draw), and holes are filled from the reserve. Never answered
    from the cache: a query to be explained, and one whose ``min_version`` is above what the kept slate reflects. Never
    kept: degraded slates, and slates computed while some view of the log was ahead of another.

    Identical questions that come at once are computed once; what the others get is composed anew for each. A tier that
    processes share (*shared*) is asked after the process's own.

    Every slate has a cursor for what is ranked behind it. The next page is composed from that list alone, under today's
    filters, so no item comes twice and what may not be shown any more is left out.

    *live* returns the recommender of the live bundle and raises NotReady without one. *wait* blocks until the views
    reflect a version or so many milliseconds have passed. Thread-safe.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        live: Callable[[], Recommender],
        cache: ResultCache,
        wait: Callable[[int, float], object],
        questions: Questions,
        cursors: Cursors,
        shared: SharedSlates | None = None,
        watch: CacheWatch = _UNTOLD,
    ) -> None:
        self._is_off = settings.cache.max_bytes == 0
        self._max_wait_ms = settings.serving.max_wait_ms
        self._shared_ms = settings.cache.timeout_ms
        self._live = live
        self._cache = cache
        self._wait = wait
        self._questions = questions
        self._cursors = cursors
        self._shared = shared
        self._watch = watch
        self._flights = Flights()

    def recommend(self, query: Query) -> Slate:
        """Return a slate.

        Raises InputError for a query that makes no sense, Expired for a cursor that is too old, NotReady where nothing
        can answer.
        """
        if query.min_version is not None:
            self._wait(query.min_version, self._max_wait_ms)
        # Asked once: a swap of bundles midway concerns the next query.
        recommender = self._live()
        trace = recommender.trace(query)
        resolution = recommender.resolve(query, trace)
        theme = self._questions.theme(resolution)
        question = self._questions.question(theme, resolution)
        edition = self._questions.edition(recommender.key, resolution)
        asked = _Asked(recommender, resolution, trace, theme, question, edition)
        if query.cursor is not None:
            return self._page(asked, query.cursor)
        slate, behind = self._first(asked)
        return self._continued(asked, slate, behind)

    def _first(self, asked: _Asked) -> tuple[Slate, Candidates]:
        """Return a slate and what is ranked behind it."""
        if asked.query.explain or self._is_off:
            slate, held = self._computed(asked)
            return slate, _behind(slate, held)
        refilled = self._refilled(asked, self._found(asked))
        if refilled is not None:
            return refilled, refilled.reserve
        with self._flights.boarded((asked.question, asked.edition)) as (flight, leads):
            led = self._led(asked, flight) if leads else None
        if led is None:
            return self._waited(asked, flight)
        slate, held, is_new = led
        if is_new and held is not None and self._shared is not None:
            # After the landing: who waits for the slate need not wait for the tier.
            self._shared.keep(asked.question, asked.edition, held)
        return slate, _behind(slate, held)

    def _led(self, asked: _Asked, flight: Flight) -> tuple[Slate, Held | None, bool]:
        """Return a slate, what to keep of it, and whether that is new to the shared tier."""
        # Another flight may have landed between our look and our own departure.
        held = self._found(asked)
        if held is None and self._shared is not None and asked.trace.left_ms > self._shared_ms:
            held = self._shared.find(asked.question, asked.edition, asked.query.at)
            if held is not None:
                self._cache.keep(asked.question, asked.edition, held)
        refilled = self._refilled(asked, held)
        if refilled is not None:
            flight.held = held
            return refilled, held, False
        slate, held = self._computed(asked)
        is_sound = held is not None and not slate.degraded and asked.resolution.is_settled
        if held is not None and is_sound:
            flight.held = held
            self._cache.keep(asked.question, asked.edition, held)
        return slate, held, is_sound

    def _waited(self, asked: _Asked, flight: Flight) -> tuple[Slate, Candidates]:
        refilled = self._refilled(asked, flight.wait(asked.trace.left_ms))
        self._watch.waited(refilled is not None)
        if refilled is not None:
            return refilled, refilled.reserve
        slate, held = self._computed(asked)
        return slate, _behind(slate, held)

    def _found(self, asked: _Asked) -> Held | None:
        return self._cache.find(asked.question, asked.edition, asked.query.at)

    def _refilled(self, asked: _Asked, held: Held | None) -> Slate | None:
        if held is None or held.version < (asked.query.min_version or 0):
            return None
        return asked.recommender.refill(asked.resolution, held, asked.trace)

    def _computed(self, asked: _Asked) -> tuple[Slate, Held | None]:
        return best_possible(
            asked.recommender, asked.resolution, asked.trace, lambda: self._cache.latest(asked.question)
        )

    def _page(self, asked: _Asked, cursor: str) -> Slate:
        mark = self._cursors.read(cursor, asked.theme)
        user = asked.resolution.resolved.user
        # Whoever is erased and comes back has another row, for rows are never used twice.
        if mark.held.version < user.since or mark.user not in (ANONYMOUS.row, user.row):
            raise Expired("the cursor is older than the user's removal: ask again without one")
        if mark.rung != "full":
            asked.trace.fell_to(mark.rung)
            asked.trace.note("slate", f"goes on from a first page of the rung '{mark.rung}'")
        slate = asked.recommender.refill(asked.resolution, mark.held, asked.trace, is_page=True)
        if slate is None:
            raise NotReady("nothing could be composed")
        return self._continued(asked, replace(slate, page=mark.page), slate.reserve, mark.begun)

    def _continued(self, asked: _Asked, slate: Slate, behind: Candidates, begun: float | None = None) -> Slate:
        """Return the slate with a cursor for what is *behind* it, if anything is."""
        if not len(behind):
            return slate
        held = Held(behind.take(np.arange(min(ITEMS, len(behind)))), slate.version, slate.bundle, asked.query.at)
        user = asked.resolution.resolved.user.row
        cursor = self._cursors.write(held, slate.page + 1, slate.rung, asked.theme, user, begun)
        return replace(slate, cursor=cursor)


def _behind(slate: Slate, held: Held | None) -> Candidates:
    """Return what a page after *slate* is composed from: what is kept of it, so that a hit's next page is the same."""
    return slate.reserve if held is None or slate.cached else held.after(slate)

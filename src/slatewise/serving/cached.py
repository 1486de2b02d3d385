"""The READ line with the result cache in front, over whichever bundle is live. Knows no stage."""

from __future__ import annotations

from collections.abc import Callable

from slatewise.domain.query import Query
from slatewise.domain.settings import Settings
from slatewise.domain.slate import Slate
from slatewise.serving.cache import ResultCache, cache_key
from slatewise.serving.recommender import Recommender


class CachedRecommender:
    """Answers from the cache where nothing that shapes the slate has changed, else from the live recommender.

    A hit is composed anew: the filters run against users and catalogue as they are now, the reranker draws its
    exploration slot again (its propensities are of this draw), and holes are filled from the reserve. Never answered
    from the cache: a query to be explained, and one whose ``min_version`` is above what the kept slate reflects. Never
    kept: degraded slates, and slates computed while some view of the log was ahead of another.

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
    ) -> None:
        self._max_wait_ms = settings.serving.max_wait_ms
        self._live = live
        self._cache = cache
        self._wait = wait

    def recommend(self, query: Query) -> Slate:
        """Return a slate. Raises InputError for a query that makes no sense, NotReady where nothing can answer."""
        if query.min_version is not None:
            self._wait(query.min_version, self._max_wait_ms)
        # Asked once: a swap of bundles midway concerns the next query.
        recommender = self._live()
        trace = recommender.trace(query)
        resolution = recommender.resolve(query, trace)
        key = cache_key(recommender.bundle, recommender.rules, resolution)
        held = None if query.explain else self._cache.find(key, query.at)
        if held is not None and (query.min_version is None or held.version >= query.min_version):
            slate = recommender.refill(resolution, held, trace)
            if slate is not None:
                return slate
        slate, held = recommender.compute(resolution, trace)
        if resolution.is_settled and not slate.degraded and not query.explain:
            self._cache.keep(key, query.at, held)
        return slate

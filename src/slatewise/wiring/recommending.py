"""The READ line as a HOME has it: over the live bundle, the result cache before it, repeats before that."""

from __future__ import annotations

from collections.abc import Callable

from slatewise.domain.query import Query
from slatewise.domain.settings import Settings
from slatewise.domain.slate import Slate
from slatewise.ingest.ingest import Ingest
from slatewise.ports.clock import Clock
from slatewise.ports.stores import Catalogue, UserStore
from slatewise.serving.cache import ResultCache
from slatewise.serving.cached import CachedRecommender
from slatewise.serving.recommender import Recommender
from slatewise.serving.repeats import Repeats


def recommending(
    settings: Settings,
    live: Callable[[], Recommender],
    users: UserStore,
    catalogue: Catalogue,
    ingest: Ingest,
    clock: Clock,
) -> Callable[[Query], Slate]:
    """Return what answers queries. *live* returns the recommender of the live bundle."""
    cached = CachedRecommender(
        settings=settings,
        live=live,
        cache=ResultCache(settings.cache, clock),
        wait=lambda version, limit_ms: ingest.wait_for(version, limit_ms / 1000),
    )
    return Repeats(
        cached.recommend,
        bundle=lambda: live().bundle,
        users=users,
        catalogue=catalogue,
        clock=clock,
        explored=settings.reranking.exploration > 0,
    ).recommend

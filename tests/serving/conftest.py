"""A READ line over the small in-memory shop, with every part open to replacement."""

import numpy as np
import pytest

from slatewise.domain.query import Query
from slatewise.filtering.available import AvailableFilter
from slatewise.filtering.excluded import ExcludedFilter
from slatewise.filtering.seen import SeenFilter
from slatewise.filtering.where import WhereFilter
from slatewise.ranking.retrieval_scorer import RetrievalScorer
from slatewise.reranking.compose import SlateReranker
from slatewise.retrieval.any_available import AnyAvailableSource
from slatewise.retrieval.item_to_item import ItemToItemSource
from slatewise.retrieval.new_arrivals import NewArrivalsSource
from slatewise.retrieval.trending import TrendingSource
from slatewise.retrieval.two_tower import TwoTowerSource
from slatewise.serving.cache import ResultCache
from slatewise.serving.cached import CachedRecommender
from slatewise.serving.cursors import Cursors
from slatewise.serving.question import Questions
from slatewise.serving.recommender import Recommender
from slatewise.serving.resolve import QueryResolver
from slatewise.serving.stages import Stages
from slatewise.testing.small_shop import DIM, NOW, FakeClock, item_vectors
from slatewise.testing.stages import RowScorer

SECRET = b"s" * 32


@pytest.fixture
def ask():
    def make(user_id=None, **rest):
        return Query(**{"request_id": "r1", "at": NOW, "size": 5, "user_id": user_id, **rest})

    return make


@pytest.fixture
def build():
    def make(shop, *, clock=None, bundle="b1", encode_user=None, **parts):
        settings = shop.settings
        limits = settings.retrieval
        stages = {
            "sources": [
                TwoTowerSource(shop.index, limits.two_tower),
                ItemToItemSource(shop.state, limits.item_to_item),
                TrendingSource(shop.state, limits.trending),
                NewArrivalsSource(shop.catalogue, limits.new_arrivals),
            ],
            "filters": [AvailableFilter(shop.catalogue), SeenFilter(), ExcludedFilter(), WhereFilter()],
            "scorer": RowScorer(lambda row: float(np.sin(row * 1.7))),
            "plain": RetrievalScorer(),
            "reranker": SlateReranker(
                settings.reranking,
                shop.catalogue,
                item_vectors,
                np.random.default_rng(3),
                settings.serving.reserve,
            ),
            "fallback": [AnyAvailableSource(shop.catalogue)],
            "popular": [TrendingSource(shop.state, limits.trending), AnyAvailableSource(shop.catalogue)],
        }
        resolver = QueryResolver(
            settings=settings,
            catalogue=shop.catalogue,
            users=shop.users,
            encode_user=encode_user or shop.encode_user,
            dim=DIM,
            folded=shop.folded,
        )
        return Recommender(
            bundle=bundle,
            settings=settings,
            resolver=resolver,
            stages=Stages(**{**stages, **parts}),
            clock=clock or FakeClock(),
        )

    return make


@pytest.fixture
def build_cached(build):
    def make(shop, *, clock=None, live=None, wait=lambda version, ms: None, cache=None, rest=(), **parts):
        rest = dict(rest)
        clock = clock or FakeClock()
        recommender = live or build(shop, clock=clock, **parts)
        return CachedRecommender(
            settings=shop.settings,
            live=recommender if callable(recommender) else lambda: recommender,
            cache=ResultCache(shop.settings.cache, clock) if cache is None else cache,
            wait=wait,
            questions=Questions(SECRET),
            cursors=Cursors(SECRET, clock, shop.settings.serving.cursor_ttl_s),
            **rest,
        )

    return make

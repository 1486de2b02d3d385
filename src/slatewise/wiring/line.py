"""Builds the READ line of one live bundle from settings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from slatewise.domain.ids import Rows, Vectors
from slatewise.domain.query import Resolved
from slatewise.domain.settings import Settings
from slatewise.features.frame import DenseFrame
from slatewise.filtering.available import AvailableFilter
from slatewise.filtering.excluded import ExcludedFilter
from slatewise.filtering.seen import SeenFilter
from slatewise.filtering.where import WhereFilter
from slatewise.ports.clock import Clock
from slatewise.ports.index import VectorIndex
from slatewise.ports.models import Bag, Sequence
from slatewise.ports.stages import Scorer, Source
from slatewise.ports.stores import Catalogue, UserStore
from slatewise.ranking.model_scorer import ModelScorer
from slatewise.ranking.retrieval_scorer import RetrievalScorer
from slatewise.reranking.compose import SlateReranker
from slatewise.retrieval.any_available import AnyAvailableSource
from slatewise.retrieval.blended import Blend
from slatewise.retrieval.line_up import line_up
from slatewise.retrieval.pinned import PinnedSource
from slatewise.retrieval.trending import TrendingSource
from slatewise.serving.live import LiveBundle
from slatewise.serving.recommender import Recommender
from slatewise.serving.resolve import QueryResolver
from slatewise.serving.stages import Stages

_BLANK = np.zeros((1, 0), np.int64)
_EMPTY = np.zeros((1, 0), np.float32)
NO_INPUTS = (
    Sequence(np.zeros((1, 0, 0), np.float32), _BLANK, _BLANK, _EMPTY, _EMPTY),
    _EMPTY,
    Bag(_BLANK, _EMPTY),
    _EMPTY,
)
"""The small ranker reads features alone."""


def build_line(
    live: LiveBundle,
    settings: Settings,
    catalogue: Catalogue,
    users: UserStore,
    folded: Callable[[], int],
    clock: Clock,
    rng: np.random.Generator,
    *,
    index: VectorIndex | None = None,
    only: Source | None = None,
) -> Recommender:
    """Return the recommender of one bundle. *folded* says up to which log offset all its views are.

    What evaluation varies: *index* is searched in place of the bundle's, and *only* is asked in place of all sources,
    the fallback among them.
    """
    sources = [only] if only is not None else _sources(live, settings, catalogue, index)
    plain = RetrievalScorer()
    scorer, quick = _scorers(live, settings, catalogue, plain)
    stages = Stages(
        sources=sources,
        filters=[AvailableFilter(catalogue), SeenFilter(), ExcludedFilter(), WhereFilter()],
        scorer=scorer,
        quick=quick,
        quick_below_ms=settings.ranking.small_below_ms,
        plain=plain,
        reranker=SlateReranker(settings.reranking, catalogue, live.vectors, rng, look_ahead=settings.serving.reserve),
        fallback=[AnyAvailableSource(catalogue)] if only is None else [],
        popular=_popular(live, settings, catalogue) if only is None else [],
    )
    resolver = QueryResolver(
        settings=settings,
        catalogue=catalogue,
        users=users,
        encode_user=live.encode_user,
        dim=live.models.user_tower.dim,
        folded=folded,
    )
    return Recommender(bundle=live.id, settings=settings, resolver=resolver, stages=stages, clock=clock)


def _sources(live: LiveBundle, settings: Settings, catalogue: Catalogue, index: VectorIndex | None) -> list[Source]:
    held = live.neighbours
    blend = Blend(held.relation, held.weight, live.vectors) if held is not None else None
    searched = live.index if index is None else index
    sources = line_up(searched, live.state, catalogue, settings.retrieval, blend)
    if settings.reranking.pins:
        sources.insert(0, PinnedSource(catalogue, settings.reranking.pins))
    return sources


def _popular(live: LiveBundle, settings: Settings, catalogue: Catalogue) -> list[Source]:
    """Return the sources that need neither index nor model."""
    return [TrendingSource(live.state, settings.retrieval.trending), AnyAvailableSource(catalogue)]


def _scorers(live: LiveBundle, settings: Settings, catalogue: Catalogue, plain: Scorer) -> tuple[Scorer, Scorer | None]:
    """Return what ranks, and what ranks where time is short."""
    models = live.models
    if models.ranker is None or settings.ranking.kind == "off":
        return plain, None

    def inputs(query: Resolved, rows: Rows) -> tuple[Sequence, Vectors, Bag, Vectors]:
        history = live.sequence(query.user.history, models.ranker_history)
        user = query.vector if query.vector is not None else np.zeros((1, models.user_tower.dim), np.float32)
        bag = live.request_bag(query.user.attributes, query.query.context)
        return history, user, bag, live.vectors(rows)

    def no_inputs(query: Resolved, rows: Rows) -> tuple[Sequence, Vectors, Bag, Vectors]:
        return NO_INPUTS

    weights = {name: action.weight for name, action in settings.actions.items()}
    names = settings.action_names
    actions = {name: names.index(name) if name in names else -1 for name in models.actions}
    held = live.neighbours
    relation, weight = (held.relation, held.weight) if held is not None else (None, 0.0)
    frame = DenseFrame(
        live.state, catalogue, live.vectors, actions, live.content, relation, weight, models.features, live.spaces()
    )
    scorer = ModelScorer(models.ranker, frame, inputs, weights)
    quick = None if models.small_ranker is None else ModelScorer(models.small_ranker, frame, no_inputs, weights)
    return (quick, quick) if quick is not None and settings.ranking.kind == "small" else (scorer, quick)

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
from slatewise.ports.models import Sequence
from slatewise.ports.stages import Scorer
from slatewise.ports.stores import Catalogue, UserStore
from slatewise.ranking.model_scorer import ModelScorer
from slatewise.ranking.retrieval_scorer import RetrievalScorer
from slatewise.reranking.compose import SlateReranker
from slatewise.retrieval.any_available import AnyAvailableSource
from slatewise.retrieval.blended import Blend
from slatewise.retrieval.line_up import line_up
from slatewise.retrieval.pinned import PinnedSource
from slatewise.serving.live import LiveBundle
from slatewise.serving.recommender import Recommender
from slatewise.serving.resolve import QueryResolver
from slatewise.serving.stages import Stages


def build_line(
    live: LiveBundle,
    settings: Settings,
    catalogue: Catalogue,
    users: UserStore,
    folded: Callable[[], int],
    clock: Clock,
    rng: np.random.Generator,
) -> Recommender:
    """Return the recommender of one bundle. *folded* says up to which log offset all its views are."""
    held = live.neighbours
    blend = Blend(held.relation, held.weight, live.vectors) if held is not None else None
    sources = line_up(live.index, live.state, catalogue, settings.retrieval, blend)
    if settings.reranking.pins:
        sources.insert(0, PinnedSource(catalogue, settings.reranking.pins))
    plain = RetrievalScorer()
    stages = Stages(
        sources=sources,
        filters=[AvailableFilter(catalogue), SeenFilter(), ExcludedFilter(), WhereFilter()],
        scorer=_scorer(live, settings, catalogue, plain),
        plain=plain,
        reranker=SlateReranker(settings.reranking, catalogue, live.vectors, rng, look_ahead=settings.serving.reserve),
        fallback=[AnyAvailableSource(catalogue)],
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


def _scorer(live: LiveBundle, settings: Settings, catalogue: Catalogue, plain: Scorer) -> Scorer:
    ranker = live.models.ranker
    if ranker is None or settings.ranking.kind == "off":
        return plain

    def inputs(query: Resolved, rows: Rows) -> tuple[Sequence, Vectors, Vectors]:
        history = live.sequence(query.user.history, live.models.ranker_history)
        user = query.vector if query.vector is not None else np.zeros((1, live.models.user_tower.dim), np.float32)
        return history, user, live.vectors(rows)

    weights = {name: action.weight for name, action in settings.actions.items()}
    held = live.neighbours
    frame = (
        DenseFrame(live.state, catalogue, live.vectors)
        if held is None
        else DenseFrame(live.state, catalogue, live.vectors, held.relation, held.weight)
    )
    return ModelScorer(ranker, frame, inputs, weights)

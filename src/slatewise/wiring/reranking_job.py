"""Prices the re-ranking rules of a bundle, and reads logged impressions for off-policy estimates. Knows no rule."""

from __future__ import annotations

import numpy as np

from slatewise.domain.errors import InputError
from slatewise.domain.query import Query
from slatewise.domain.settings import RerankingSettings, Settings
from slatewise.domain.slate import Slate
from slatewise.evaluation.measure import Items
from slatewise.evaluation.off_policy import LoggedPlaces
from slatewise.evaluation.replay import replay
from slatewise.evaluation.reranking_cost import RankedCase, RerankingCosts, price_rules
from slatewise.ports.stores import LogStore
from slatewise.reranking.compose import SlateReranker
from slatewise.storage.catalogue import LiveCatalogue
from slatewise.training.progress import Progress
from slatewise.wiring.engine import Engine
from slatewise.wiring.judged import Split, open_judged


def price_reranking(
    bundle: str,
    split: Split,
    settings: Settings,
    log: LogStore,
    catalogue: LiveCatalogue,
    engine: Engine,
    progress: Progress,
    max_cases: int | None = None,
) -> RerankingCosts:
    """Replay the cases that `evaluate_bundle` replays, once, and compose each slate under every rule alone.

    Raises InputError for a bundle that was trained under another holdout, and without cases.
    """
    judged = open_judged(bundle, split, settings, log, engine)
    live = judged.loaded.live
    if not judged.cases:
        raise InputError("cases", 0, "at least one held-out interaction to ask for")
    answered: list[tuple[float, Slate]] = []

    def recommend(query: Query) -> Slate:
        slate = judged.loaded.recommender.recommend(query)
        answered.append((query.at, slate))
        return slate

    replayed = replay(
        judged.cases,
        recommend,
        catalogue.ids,
        settings.action_names,
        upcoming=judged.upcoming,
        fold=judged.fold,
        at=float(np.fmax.reduce(judged.training.at, initial=0.0)),
        max_cases=max_cases,
        rng=judged.rng,
        progress=_Named(progress, "re-ranking"),
    )

    def make(rules: RerankingSettings) -> SlateReranker:
        draws = np.random.default_rng(settings.training.seed)
        return SlateReranker(rules, catalogue, live.vectors, draws, look_ahead=settings.serving.reserve)

    pairs = zip(replayed.cases, answered, strict=True)
    return price_rules(
        [RankedCase.of(case, at, slate) for case, (at, slate) in pairs],
        settings.reranking,
        make,
        Items(
            n_items=len(catalogue),
            category=catalogue.codes(settings.reranking.cap_attribute),
            vectors=live.vectors(np.arange(len(catalogue))),
        ),
        catalogue.created_at,
        judged.rng,
        split=split,
        bundle=bundle,
    )


def logged_places(settings: Settings, log: LogStore, catalogue: LiveCatalogue) -> LoggedPlaces:
    """Return every logged place that has a propensity; a positive action that names the request is its click."""
    positive = settings.positive_actions
    clicks = {
        request: set(catalogue.ids(np.array([item for item, action in acted if action in positive], np.int64)))
        for request, acted in log.clicks().items()
    }
    return LoggedPlaces.of((shown for _, shown in log.impressions()), clicks)


class _Named:
    """Progress under a name of its own."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name = progress, name

    def step(self, task: str, done: float, total: float, note: str = "") -> None:
        self._progress.step(self._name, done, total, note)

"""The deep part of training: towers, then the ranker on what they retrieve. Imported only where torch is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from slatewise.domain.candidate import Candidates
from slatewise.domain.columns import Interactions
from slatewise.domain.holdout import last_of_each_user
from slatewise.domain.ids import Vectors
from slatewise.domain.membership import among
from slatewise.domain.query import Resolved
from slatewise.domain.settings import IndexSettings, Settings
from slatewise.features.frame import DenseFrame
from slatewise.features.state import CountedState
from slatewise.index.build import build_index
from slatewise.models.spectral import SpectralFactors, fit_spectral
from slatewise.ports.clock import Clock
from slatewise.retrieval.line_up import line_up
from slatewise.retrieval.merge import merge, within_quota
from slatewise.training.checkpoint import Checkpoint, run_name
from slatewise.training.export import export_item_tower, export_ranker, export_user_tower
from slatewise.training.files import RANKER_HISTORY, BundleSchema, Learned
from slatewise.training.fit_towers import Validation, fit_towers, refresh_towers, use_threads
from slatewise.training.material import Material, TrainingInput
from slatewise.training.moments import (
    Moment,
    impression_moments,
    interaction_moments,
    is_replayable,
    ranker_slice,
)
from slatewise.training.progress import Progress
from slatewise.training.ranker_training import RankerFit, fit_ranker
from slatewise.training.retriever import Retriever, deep_retriever, spectral_retriever
from slatewise.training.slates import Slates, build_slates
from slatewise.training.tower_training import new_towers

VALIDATION_USERS = 1000
FEWEST_SLATES = 50
FEWEST_OF_ACTION = 20
REFRESH_PASSES = 2


def learn_deep(
    given: TrainingInput,
    material: Material,
    factors: SpectralFactors,
    schema: BundleSchema,
    settings: Settings,
    folder: Path,
    work: Path,
    clock: Clock,
    progress: Progress,
    rng: np.random.Generator,
) -> Learned:
    """Fit towers on the older part and the ranker on the newer, then let the towers see all; write the graphs.

    Where the towers do not beat the spectral *factors* on the same validation, the factors retrieve: sparse data
    without an order often has no more to give. *factors* are fitted on everything; what is judged, on the older part.
    """
    training = settings.training
    use_threads(training)
    later = ranker_slice(material.interactions)
    older = material.interactions.take(~later)
    judged = _validation(older, material.positive, rng)
    past = _with(material, older.take(~judged))
    past_factors = _past_factors(past, training.dim, rng)
    model = new_towers(material, past_factors, training)
    validation = Validation.of(past.interactions, older.take(judged), training.history_length)
    checkpoint = Checkpoint(work, run_name(schema, training, len(past.interactions), VALIDATION_USERS))
    fit = fit_towers(model, past, validation, training, checkpoint, clock, progress)
    deep, spectral = deep_retriever(model, material), spectral_retriever(past_factors)
    won, lost = (validation.ndcg(retriever, material) for retriever in (deep, spectral))
    is_deep = won > lost
    facts: dict[str, object] = {
        "retriever": {"towers_ndcg@10": round(won, 4), "spectral_ndcg@10": round(lost, 4), "deep": is_deep},
        "towers": {"passes": len(fit.curve), "best_pass": fit.best_epoch, "curve": fit.curve},
    }
    ranker, heads = _learn_ranker(given, material, deep if is_deep else spectral, later, settings, clock, progress, rng)
    if is_deep:
        refresh_towers(model, material, training, REFRESH_PASSES, clock, progress)
        final = deep_retriever(model, material)
        progress.step("export", 0, 1)
        export_user_tower(model.user, training.dim, folder / "user_tower.onnx")
        export_item_tower(model.item, folder / "item_tower.onnx")
    else:
        final = spectral_retriever(factors)
    if ranker is not None:
        facts["ranker"] = _ranker_facts(ranker, heads)
        if ranker.earns_its_place:
            export_ranker(ranker.model, training.dim, len(schema.features), folder / "ranker.onnx")
    progress.step("export", 1, 1)
    checkpoint.forget()
    shipped = tuple(heads) if ranker is not None and ranker.earns_its_place else ()
    schema = msgspec.structs.replace(schema, kind="deep" if is_deep else "spectral", heads=shipped)
    recent = _recent_moments(material.interactions, rng)
    queries = _encoder(final, material, training.history_length)(recent)
    return Learned(schema, final.embeddings, final.vectors, queries, facts)


def _past_factors(past: Material, dim: int, rng: np.random.Generator) -> SpectralFactors:
    """Factorise what the towers may see: a start from anything newer would leak the answers into them."""
    positive = past.interactions.take(np.isin(past.interactions.action, list(past.positive)))
    return fit_spectral(positive.user, positive.item, past.n_items, dim, rng)


def _with(material: Material, interactions: Interactions) -> Material:
    return Material(
        interactions,
        material.n_items,
        material.items,
        material.item_tokens,
        material.users,
        material.user_tokens,
        material.actions,
        material.positive,
    )


def _validation(older: Interactions, positive: frozenset[int], rng: np.random.Generator) -> np.ndarray:
    """Mark the last interaction of up to a thousand users, where it is worth predicting."""
    last = last_of_each_user(older) & np.isin(older.action, list(positive))
    place = np.flatnonzero(last)
    # Small data keeps at least nine tenths of its users whole.
    size = min(VALIDATION_USERS, max(1, place.size // 2))
    mask = np.zeros(len(older), bool)
    mask[rng.choice(place, min(size, place.size), replace=False)] = True
    return mask


def _encoder(retriever: Retriever, material: Material, length: int) -> Callable[[Sequence[Moment]], Vectors]:
    def encode(moments: Sequence[Moment]) -> Vectors:
        users = np.array([m.user for m in moments], np.int64)
        return retriever.users(users, [m.history for m in moments], material, length)

    return encode


def _recent_moments(interactions: Interactions, rng: np.random.Generator) -> list[Moment]:
    last = last_of_each_user(interactions)
    return interaction_moments(interactions, last, frozenset(np.unique(interactions.action).tolist()), 500, rng)


def _learn_ranker(
    given: TrainingInput,
    material: Material,
    retriever: Retriever,
    later: np.ndarray,
    settings: Settings,
    clock: Clock,
    progress: Progress,
    rng: np.random.Generator,
) -> tuple[RankerFit | None, list[str]]:
    moments = _moments(given, material, later, settings, rng)
    heads = _heads(moments, material)
    if not heads:
        return None, []
    slates = _slates(moments, heads, given, material, retriever, later, settings, progress)
    if int(slates.label.any((1, 2)).sum()) < FEWEST_SLATES:
        return None, []
    arrays = (retriever.embeddings, retriever.vectors)
    fit = fit_ranker(slates, *arrays, len(material.actions), RANKER_HISTORY, settings.training, clock, progress)
    return fit, [material.actions[h] for h in heads]


def _moments(
    given: TrainingInput, material: Material, later: np.ndarray, settings: Settings, rng: np.random.Generator
) -> list[Moment]:
    interactions, limit = material.interactions, settings.training.ranker_lists
    moments = interaction_moments(interactions, later, material.positive, limit, rng)
    cut = float(interactions.at[later].min()) if is_replayable(interactions) and later.any() else -np.inf
    newest = float(np.nanmax(interactions.at, initial=-np.inf))
    shown = [entry for entry in given.impressions if cut <= entry[2].at <= newest]
    if shown:
        moments += impression_moments(shown, given.reactions, interactions, limit, rng)
    return sorted(moments, key=lambda m: m.offset)


def _heads(moments: Sequence[Moment], material: Material) -> list[int]:
    counts = np.zeros(len(material.actions), np.int64)
    for moment in moments:
        for actions in moment.wanted.values():
            counts[list(actions)] += 1
    return [i for i in range(len(material.actions)) if counts[i] >= FEWEST_OF_ACTION]


def _slates(
    moments: Sequence[Moment],
    heads: Sequence[int],
    given: TrainingInput,
    material: Material,
    retriever: Retriever,
    later: np.ndarray,
    settings: Settings,
    progress: Progress,
) -> Slates:
    state = CountedState(material.positive)
    state.fold(material.interactions.take(~later))
    index = build_index(np.arange(material.n_items), retriever.vectors, IndexSettings(kind="exact"))
    sources = line_up(index, state, given.catalogue, settings.retrieval)

    def candidates_of(query: Resolved) -> Candidates:
        offers = [
            within_quota(s.retrieve(query, s.limit + query.blocked.size), query.blocked, s.limit) for s in sources
        ]
        merged = merge(offers)
        kept, _ = merged.split(~among(merged.row, query.blocked))
        return kept.take(np.arange(min(len(kept), settings.ranking.limit)))

    replay = (state, material.interactions.take(later)) if is_replayable(material.interactions) else None
    return build_slates(
        moments,
        _encoder(retriever, material, settings.training.history_length),
        candidates_of,
        DenseFrame(state, given.catalogue, lambda rows: retriever.vectors[rows]),
        heads,
        settings.seen_actions,
        settings.storage.history_length,
        RANKER_HISTORY,
        replay,
        progress,
    )


def _ranker_facts(fit: RankerFit, heads: Sequence[str]) -> dict[str, object]:
    return {
        "validation_ndcg@10": round(fit.ndcg, 4),
        "retrieval_ndcg@10": round(fit.retrieval_ndcg, 4),
        "shipped": fit.earns_its_place,
        "calibration": dict(zip(heads, fit.calibration, strict=False)),
        "curve": fit.curve,
    }

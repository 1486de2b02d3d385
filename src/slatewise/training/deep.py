"""The deep part of training: towers, then the ranker on what they retrieve. Imported only where torch is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from slatewise.domain.candidate import Candidates
from slatewise.domain.ids import Vectors
from slatewise.domain.membership import among
from slatewise.domain.query import Resolved
from slatewise.domain.settings import IndexSettings, Settings
from slatewise.features.frame import DenseFrame
from slatewise.features.state import CountedState
from slatewise.index.build import build_index
from slatewise.ports.clock import Clock
from slatewise.retrieval.blended import Blend
from slatewise.retrieval.line_up import line_up
from slatewise.retrieval.merge import merge, within_quota
from slatewise.training.checkpoint import Checkpoint, run_name
from slatewise.training.export import export_item_tower, export_ranker, export_user_tower
from slatewise.training.files import RANKER_HISTORY, BundleSchema, Learned
from slatewise.training.fit_towers import fit_towers, refresh_towers, use_threads
from slatewise.training.lambdarank import LAMBDARANK, Trees, fit_lambdarank
from slatewise.training.linear import fit_linear
from slatewise.training.linear_bundle import Base, normalised, placed_by_attributes, sample_queries, with_unit_vectors
from slatewise.training.material import Material, TrainingInput
from slatewise.training.moments import Moment, impression_moments, interaction_moments, is_replayable
from slatewise.training.plan import Parts, Plan, positive_of
from slatewise.training.progress import Progress
from slatewise.training.ranker_training import RankerFit, fit_ranker, judging
from slatewise.training.retriever import Retriever, blended, deep_retriever, list_scale, spectral_retriever
from slatewise.training.slates import Slates, build_slates
from slatewise.training.tower_training import new_towers

FEWEST_SLATES = 50
FEWEST_OF_ACTION = 20
REFRESH_PASSES = 2
WORTH_OF_TOWERS = 0.97
"""Share of the linear model's accuracy at which towers retrieve: they also know new items, new users and attributes."""

SEEN_ENOUGH = 0.99
"""Share of the interactions at which towers that were fitted on the past need not see the rest."""


def learn_deep(
    given: TrainingInput,
    material: Material,
    plan: Plan,
    parts: Parts,
    base: Base,
    schema: BundleSchema,
    settings: Settings,
    folder: Path,
    work: Path,
    clock: Clock,
    progress: Progress,
    rng: np.random.Generator,
) -> Learned:
    """Fit towers on the older part and the ranker on the newer, then let the towers see all; write the graphs.

    Towers and spectral factors are each given the neighbour lists at the weight that the validation prefers; towers
    retrieve unless their blend is clearly the worse one.
    """
    training = settings.training
    use_threads(training)
    past = parts.past
    has_lists = training.lists != "off"
    past_fit = fit_linear(positive_of(past), material.n_items, base.choice, training.dim, rng, progress)
    lists = past_fit.lists if has_lists else None
    chosen, chosen_ndcg, factors_alone = blended(
        spectral_retriever(base.past_factors), lists, parts.validation, material
    )
    judged = {"spectral_ndcg@10": factors_alone, "spectral_with_lists_ndcg@10": chosen_ndcg}
    facts: dict[str, object] = {}
    model = None
    if plan.towers:
        checkpoint = Checkpoint(work, run_name(schema, training, len(past.interactions), len(parts.validation)))
        model = new_towers(material, base.past_factors, training)
        fit = fit_towers(model, past, parts.validation, training, checkpoint, clock, progress, work)
        facts["towers"] = {"passes": len(fit.curve), "best_pass": fit.best_epoch, "curve": fit.curve}
        deep, ndcg, alone = blended(deep_retriever(model, material), lists, parts.validation, material)
        judged |= {"towers_ndcg@10": alone, "towers_with_lists_ndcg@10": ndcg}
        # Heavy lists make any two blends alike, so towers have to stand alone as well.
        is_worth_it = min(ndcg / max(chosen_ndcg, 1e-9), alone / max(factors_alone, 1e-9)) >= WORTH_OF_TOWERS
        if training.deep == "on" or is_worth_it:
            chosen = deep
        else:
            model = None
    facts["retriever"] = {
        **{name: round(value, 4) for name, value in judged.items()},
        "deep": model is not None,
        "lists_weight": round(chosen.weight * list_scale(past_fit.lists, parts.validation.rows), 3),
    }
    ranker: RankerFit | None = None
    trees: Trees | None = None
    heads: list[str] = []
    if plan.ranker:
        ranker, trees, heads = _learn_ranker(given, material, chosen, parts.later, settings, clock, progress, rng)
    mapped = None
    if model is not None:
        if len(past.interactions) < SEEN_ENOUGH * len(material.interactions):
            refresh_towers(model, material, training, REFRESH_PASSES, clock, progress, work)
        final = deep_retriever(model, material)
        progress.step("export", 0, 1)
        export_user_tower(model.user, training.dim, folder / "user_tower.onnx")
        export_item_tower(model.item, folder / "item_tower.onnx")
    else:
        unit, facts["vectors"] = normalised(spectral_retriever(base.past_factors), parts.validation, material)
        final = spectral_retriever(base.fitted.factors)
        final, mapped = placed_by_attributes(with_unit_vectors(final) if unit else final, material)
    if ranker is not None:
        facts["ranker"] = _ranker_facts(ranker, trees, heads)
        if trees is not None:
            trees.save(folder / LAMBDARANK)
        if ranker.earns_its_place:
            export_ranker(ranker.model, training.dim, len(schema.features), folder / "ranker.onnx")
    progress.step("export", 1, 1)
    Checkpoint.clear(work)
    shipped = tuple(heads) if ranker is not None and ranker.earns_its_place else ()
    schema = msgspec.structs.replace(schema, kind="deep" if model is not None else "spectral", heads=shipped)
    queries = sample_queries(final, material, training.history_length, rng)
    kept = base.fitted.lists if has_lists else None
    return Learned(schema, final.embeddings, final.vectors, queries, kept, chosen.weight, mapped, facts)


def _encoder(retriever: Retriever, material: Material, length: int) -> Callable[[Sequence[Moment]], Vectors]:
    def encode(moments: Sequence[Moment]) -> Vectors:
        users = np.array([m.user for m in moments], np.int64)
        return retriever.users(users, [m.history for m in moments], material, length)

    return encode


def _learn_ranker(
    given: TrainingInput,
    material: Material,
    retriever: Retriever,
    later: np.ndarray,
    settings: Settings,
    clock: Clock,
    progress: Progress,
    rng: np.random.Generator,
) -> tuple[RankerFit | None, Trees | None, list[str]]:
    moments = _moments(given, material, later, settings, rng)
    heads = _heads(moments, material)
    if not heads:
        return None, None, []
    slates = _slates(moments, heads, given, material, retriever, later, settings, progress)
    if int(slates.label.any((1, 2)).sum()) < FEWEST_SLATES:
        return None, None, []
    training, arrays = settings.training, (retriever.embeddings, retriever.vectors)
    judges = judging(slates, training.seed)
    names = [material.actions[h] for h in heads]
    weights = np.array([settings.actions[name].weight for name in names])
    fit = fit_ranker(slates, judges, *arrays, len(material.actions), weights, RANKER_HISTORY, training, clock, progress)
    progress.step("boosted trees", 0, 1)
    trees = fit_lambdarank(slates, judges, training.seed, training.threads)
    progress.step("boosted trees", 1, 1, "" if trees is None else f"validation NDCG@10 {trees.ndcg:.4f}")
    return fit, trees, names


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
    relation, weight = retriever.lists, retriever.weight
    blend = Blend(relation, weight, lambda rows: retriever.vectors[rows]) if relation is not None else None
    sources = line_up(index, state, given.catalogue, settings.retrieval, blend)

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
        DenseFrame(state, given.catalogue, lambda rows: retriever.vectors[rows], relation, weight),
        heads,
        settings.seen_actions,
        settings.storage.history_length,
        RANKER_HISTORY,
        replay,
        progress,
    )


def _ranker_facts(fit: RankerFit, trees: Trees | None, heads: Sequence[str]) -> dict[str, object]:
    return {
        "validation_ndcg@10": round(fit.ndcg, 4),
        "retrieval_ndcg@10": round(fit.retrieval_ndcg, 4),
        "lambdarank_ndcg@10": None if trees is None else round(trees.ndcg, 4),
        "shipped": fit.earns_its_place,
        "calibration": dict(zip(heads, fit.calibration, strict=False)),
        "curve": fit.curve,
    }

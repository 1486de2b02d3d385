"""The deep part of training: towers, then the ranker on what they retrieve. Imported only where torch is."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from slatewise.domain.settings import Settings
from slatewise.features.content import ContentLayout
from slatewise.features.request_bag import RequestEncoder
from slatewise.features.spaces import TASTES, Spaces
from slatewise.ports.clock import Clock
from slatewise.training.checkpoint import Checkpoint, run_name
from slatewise.training.export import export_item_tower, export_user_tower
from slatewise.training.files import BundleSchema, Learned
from slatewise.training.fit_towers import fit_towers, refresh_towers, use_threads
from slatewise.training.learn_ranker import Columns, learn_ranker
from slatewise.training.learn_tastes import learn_tastes
from slatewise.training.linear import fit_linear
from slatewise.training.linear_bundle import Base, normalised, placed_by_attributes, sample_queries, with_unit_vectors
from slatewise.training.material import Material, TrainingInput
from slatewise.training.plan import Parts, Plan, positive_of
from slatewise.training.progress import Progress
from slatewise.training.retriever import blended, deep_retriever, list_scale, spectral_retriever
from slatewise.training.tower_training import new_towers

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
    unit = False
    if model is None:
        unit, facts["vectors"] = normalised(spectral_retriever(base.past_factors), parts.validation, material)
        chosen = with_unit_vectors(chosen) if unit else chosen
    facts["retriever"] = {
        **{name: round(value, 4) for name, value in judged.items()},
        "deep": model is not None,
        "lists_weight": round(chosen.weight * list_scale(past_fit.lists, parts.validation.rows), 3),
    }
    layout, requests = ContentLayout.of(schema.items), RequestEncoder(schema.users, schema.contexts)
    tastes = learn_tastes(given, material, parts.later, training, progress, rng) if plan.ranker else None
    past_tastes = None
    if tastes is not None:
        facts["tastes"] = tastes.facts
        past_tastes = tastes.past.items(material.items)
        schema = msgspec.structs.replace(schema, tastes=training.dim)
    else:
        schema = msgspec.structs.replace(schema, features=tuple(n for n in schema.features if n not in TASTES))
    columns = Columns(
        layout, Spaces.of(base.past_factors.input, base.past_factors.output, past_tastes), schema.features
    )
    ranker = (
        learn_ranker(given, material, columns, requests, chosen, parts.later, settings, clock, progress, rng)
        if plan.ranker
        else None
    )
    mapped = None
    if model is not None:
        if len(past.interactions) < SEEN_ENOUGH * len(material.interactions):
            refresh_towers(model, material, training, REFRESH_PASSES, clock, progress, work)
        final = deep_retriever(model, material)
        progress.step("export", 0, 1)
        export_user_tower(model.user, training.dim, folder / "user_tower.onnx")
        export_item_tower(model.item, folder / "item_tower.onnx")
    else:
        # The ranker reads item vectors: served ones have to lie in the axes that it learned in.
        final = spectral_retriever(base.fitted.factors.turned_to(base.past_factors))
        final, mapped = placed_by_attributes(with_unit_vectors(final) if unit else final, material)
    schema = msgspec.structs.replace(schema, kind="deep" if model is not None else "spectral")
    if ranker is not None:
        schema = ranker.ship(folder, schema, clock, progress)
        facts["ranker"] = ranker.facts
    progress.step("export", 1, 1)
    Checkpoint.clear(work)
    queries = sample_queries(final, material, training.history_length, rng)
    kept = base.fitted.lists if has_lists else None
    tokens = layout.pack(material.items)
    served = None if tastes is None else tastes.served
    return Learned(schema, final.embeddings, final.vectors, tokens, queries, kept, chosen.weight, mapped, served, facts)

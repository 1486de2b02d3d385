"""`slatewise train`, top to bottom: from the log's columns to a bundle's files. Imports torch only if it is used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from slatewise.domain.columns import Interactions
from slatewise.domain.errors import TrainingError
from slatewise.domain.events import AttributeValue
from slatewise.domain.holdout import HoldoutMode
from slatewise.domain.settings import Settings
from slatewise.features.attributes import AttributeEncoder, fit_schema
from slatewise.features.content import ContentLayout
from slatewise.features.frame import names_for
from slatewise.features.shares import Shares
from slatewise.features.state import CountedState
from slatewise.ports.clock import Clock
from slatewise.training.files import BundleSchema, Learned, write_files
from slatewise.training.linear import LinearChoice, choose_linear, fit_linear, without_lists
from slatewise.training.linear_bundle import Base, learn_base
from slatewise.training.material import Material, TrainingInput
from slatewise.training.plan import cut, plan_of, positive_of
from slatewise.training.progress import Progress
from slatewise.training.visible import visible

SMALLEST = 20
"""Interactions below which nothing can be learned that counting does not say."""


def learn(
    given: TrainingInput,
    settings: Settings,
    holdout: HoldoutMode,
    folder: Path,
    work: Path,
    clock: Clock,
    progress: Progress,
) -> Learned:
    """Train on all but the held-out interactions and write every file of a bundle but its manifest into *folder*.

    *work* keeps what an interrupted run needs to go on.
    Raises TrainingError where there is too little to learn from, or deep models are asked for without torch.
    """
    start = clock.elapsed_ms()
    given = visible(given, holdout)
    interactions = given.interactions
    _check(interactions, settings)
    plan = plan_of(interactions, settings)
    rng = np.random.default_rng(settings.training.seed)
    material, schema = material_of(given, interactions, settings, holdout)
    parts = cut(material, plan, settings, rng, len(given.impressions))
    dim, rank = settings.training.dim, settings.training.linear_rank
    past = positive_of(parts.past)
    if settings.training.lists == "off":
        choice, past_factors = without_lists(past, material.n_items, dim, rng)
    else:
        choice, past_factors = choose_linear(past, parts.validation, rank, dim, rng, progress)
    base = Base(choice, past_factors, fit_linear(positive_of(material), material.n_items, choice, dim, rng, progress))
    if plan.towers or plan.ranker:
        from slatewise.training.deep import learn_deep

        learned = learn_deep(given, material, plan, parts, base, schema, settings, folder, work, clock, progress, rng)
    else:
        learned = learn_base(material, parts, base, schema, settings.training, rng)
    state = CountedState.ending(settings.positive_actions, interactions, Shares.of(settings.abuse))
    state.fold(interactions)
    learned.facts |= {
        "interactions": len(interactions),
        "users": int(np.unique(interactions.user).size),
        "items": material.n_items,
        "ordered": interactions.is_ordered,
        "plan": plan.why,
        "linear": None if settings.training.lists == "off" else _told(choice, base),
        "validation_users": len(parts.validation),
        "train_s": round((clock.elapsed_ms() - start) / 1000, 1),
    }
    write_files(learned, base.fitted.factors, state, material.items, settings, given.catalogue, folder, progress)
    return learned


def _told(choice: LinearChoice, base: Base) -> dict[str, Any]:
    return {
        "family": choice.family,
        "decay": choice.decay,
        "rank": choice.low_pass.rank,
        "power": choice.low_pass.power,
        "direct": choice.low_pass.direct,
        "validation_ndcg@10": round(choice.ndcg, 4),
        "options_tried": choice.tried,
        "entries": int(base.fitted.lists.value.size),
    }


def _check(interactions: Interactions, settings: Settings) -> None:
    if len(interactions) < SMALLEST:
        raise TrainingError(
            f"{len(interactions)} interactions are left to train on, at least {SMALLEST} are needed: import data first"
        )
    if not np.isin(interactions.action, list(settings.positive_actions)).any():
        raise TrainingError("no interaction has an action of positive weight: check [actions] in the settings")


def material_of(
    given: TrainingInput, interactions: Interactions, settings: Settings, holdout: HoldoutMode
) -> tuple[Material, BundleSchema]:
    """Return *interactions* with everybody's attributes encoded, and the schema that says how.

    *given* is what is `visible`: the schema knows the contexts of all its impressions.
    """
    item_schema = fit_schema(given.items)
    described = sorted(given.users)
    user_schema = fit_schema([given.users[u] for u in described])
    users: list[Mapping[str, AttributeValue]] = [{}] * (described[-1] + 1 if described else 1)
    for user in described:
        users[user] = given.users[user]
    material = Material(
        interactions=interactions,
        n_items=len(given.items),
        items=AttributeEncoder(item_schema).encode(given.items),
        item_tokens=item_schema.tokens,
        users=AttributeEncoder(user_schema).encode(users),
        user_tokens=user_schema.tokens,
        actions=settings.action_names,
        positive=settings.positive_actions,
    )
    schema = BundleSchema(
        kind="spectral",
        dim=settings.training.dim,
        history_length=settings.training.history_length,
        actions=settings.action_names,
        items=item_schema,
        users=user_schema,
        contexts=fit_schema([impression.context for _, _, impression, _ in given.impressions]),
        n_items=material.n_items,
        holdout=holdout,
        trained_to=given.trained_to,
        features=names_for(settings.action_names, ContentLayout.of(item_schema).names),
        counted=tuple(settings.action_names[i] for i in sorted(settings.positive_actions)),
    )
    return material, schema

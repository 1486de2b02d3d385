"""`slatewise train`, top to bottom: from the log's columns to a bundle's files. Imports torch only if it is used."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from slatewise.domain.columns import Interactions
from slatewise.domain.errors import TrainingError
from slatewise.domain.events import AttributeValue
from slatewise.domain.holdout import HoldoutMode, held_out
from slatewise.domain.settings import Settings
from slatewise.features.attributes import AttributeEncoder, fit_schema
from slatewise.features.state import CountedState
from slatewise.models.spectral import SpectralFactors, fit_spectral
from slatewise.ports.clock import Clock
from slatewise.training.files import BundleSchema, Learned, write_files
from slatewise.training.material import Histories, Material, TrainingInput
from slatewise.training.progress import Progress

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
    interactions = given.interactions.take(~held_out(given.interactions, holdout))
    _check(interactions, settings)
    deep = _wants_deep(settings)
    rng = np.random.default_rng(settings.training.seed)
    material, schema = material_of(given, interactions, settings, holdout)
    progress.step("matrix factorisation", 0, 1)
    positive = np.isin(interactions.action, list(settings.positive_actions))
    factors = fit_spectral(
        interactions.user[positive], interactions.item[positive], material.n_items, settings.training.dim, rng
    )
    progress.step("matrix factorisation", 1, 1)
    if deep:
        from slatewise.training.deep import learn_deep

        learned = learn_deep(given, material, factors, schema, settings, folder, work, clock, progress, rng)
    else:
        learned = Learned(schema, factors.input, factors.output, _sample_vectors(factors, interactions, rng))
    state = CountedState(settings.positive_actions)
    state.fold(interactions)
    learned.facts |= {
        "interactions": len(interactions),
        "users": int(np.unique(interactions.user).size),
        "items": material.n_items,
        "ordered": interactions.is_ordered,
        "train_s": round((clock.elapsed_ms() - start) / 1000, 1),
    }
    write_files(learned, factors, state, settings, given.catalogue, folder, progress)
    return learned


def _check(interactions: Interactions, settings: Settings) -> None:
    if len(interactions) < SMALLEST:
        raise TrainingError(
            f"{len(interactions)} interactions are left to train on, at least {SMALLEST} are needed: import data first"
        )
    if not np.isin(interactions.action, list(settings.positive_actions)).any():
        raise TrainingError("no interaction has an action of positive weight: check [actions] in the settings")


def _wants_deep(settings: Settings) -> bool:
    mode = settings.training.deep
    has_torch = importlib.util.find_spec("torch") is not None
    if mode == "on" and not has_torch:
        raise TrainingError("training.deep is on, but torch is not installed: pip install 'slatewise[train]'")
    return mode != "off" and has_torch


def material_of(
    given: TrainingInput, interactions: Interactions, settings: Settings, holdout: HoldoutMode
) -> tuple[Material, BundleSchema]:
    """Return *interactions* with everybody's attributes encoded, and the schema that says how."""
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
        n_items=material.n_items,
        holdout=holdout,
        trained_to=given.trained_to,
        counted=tuple(settings.action_names[i] for i in sorted(settings.positive_actions)),
    )
    return material, schema


def _sample_vectors(factors: SpectralFactors, interactions: Interactions, rng: np.random.Generator) -> np.ndarray:
    """Return unit user vectors of some users, to measure the index with."""
    histories = Histories.of(interactions)
    chosen = rng.choice(len(histories), min(500, len(histories)), replace=False)
    vectors = np.stack([factors.input[histories.history(u).row].sum(0) for u in chosen.tolist()])
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norm > 0, norm, 1.0)).astype(np.float32)

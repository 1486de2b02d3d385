"""Looks at the data and says what will be learned from which part of it. No branch on a data set's name."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace

import numpy as np

from slatewise.domain.columns import Interactions
from slatewise.domain.errors import TrainingError
from slatewise.domain.ids import Mask
from slatewise.domain.settings import Settings
from slatewise.training.material import Material
from slatewise.training.moments import ranker_slice
from slatewise.training.validation import Validation, hold_back


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be trained, and in words why."""

    towers: bool
    ranker: bool
    why: str


@dataclass(frozen=True, slots=True)
class Parts:
    """One material cut in three: what retrieval learns from, what judges it, and what is left to the ranker."""

    past: Material
    validation: Validation
    later: Mask
    """Over the whole material's interactions; nothing where no ranker is planned."""


def plan_of(interactions: Interactions, settings: Settings) -> Plan:
    """Decide by order and torch. Raises TrainingError where deep models are asked for without torch.

    Without an order there is nothing for a sequence encoder to read: a history is a set, and the linear model's sum
    over it is the tower (measured: docs/experiments.md).
    """
    mode, has_torch = settings.training.deep, importlib.util.find_spec("torch") is not None
    if mode == "on" and not has_torch:
        raise TrainingError("training.deep is on, but torch is not installed: pip install 'slatewise[train]'")
    if mode == "off" or not has_torch:
        why = "deep models are switched off" if mode == "off" else "torch is not installed"
        return Plan(towers=False, ranker=False, why=why)
    towers = mode == "on" or interactions.is_ordered
    why = "histories have an order" if interactions.is_ordered else "histories have no order: they are read as sets"
    return Plan(towers, settings.training.ranker != "off", why)


def cut(material: Material, plan: Plan, settings: Settings, rng: np.random.Generator, shown: int = 0) -> Parts:
    """Cut the material; the newest part is left to the ranker, if there is to be one. *shown* slates were logged."""
    interactions = material.interactions
    later = ranker_slice(interactions, shown) if plan.ranker else np.zeros(len(interactions), bool)
    older = interactions.take(~later)
    held = hold_back(older, material.positive, material.n_items, rng)
    past = replace(material, interactions=older.take(~held))
    length = settings.training.history_length
    validation = Validation.of_held(past.interactions, older.take(held), length, material.n_items)
    return Parts(past, validation, later)


def positive_of(material: Material) -> Interactions:
    """Return the material's positive interactions: what linear models are fitted on."""
    actions = material.interactions.action
    return material.interactions.take(np.isin(actions, list(material.positive)))

"""What judging a bundle begins with: the bundle without what was held out of it, and the cases that ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from slatewise.domain.columns import Interactions
from slatewise.domain.errors import InputError
from slatewise.domain.holdout import held_out, time_cut
from slatewise.domain.settings import Settings
from slatewise.evaluation.cases import Case, last_item_cases, time_cases
from slatewise.evaluation.replay import Fold
from slatewise.ports.stores import LogStore
from slatewise.wiring.engine import Engine, Loaded

Split = Literal["last-item", "time"]

PATIENT_MS = 60_000.0
"""Figures are to say what the models know, not how busy the machine was."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A bundle opened as of its training, the interactions it saw, those *upcoming*, and the cases made from them.

    ``fold`` and ``upcoming`` are set where the split is by time: then the world goes on between the cases. ``rng``
    has drawn the cases; whoever goes on with it draws the same as every other judge.
    """

    loaded: Loaded
    cases: Sequence[Case]
    training: Interactions
    upcoming: Interactions | None
    fold: Fold | None
    rng: np.random.Generator


def open_judged(bundle: str, split: Split, settings: Settings, log: LogStore, engine: Engine) -> Judged:
    """Open *bundle* for judging. Raises InputError for one trained under another holdout: it has seen the answers."""
    loaded = engine.load(bundle, lambda: log.end, with_held_out=False, deadline_ms=PATIENT_MS)
    if loaded.schema.holdout != split:
        raise InputError(
            "split",
            split,
            f"the holdout that bundle {bundle} was trained with ({loaded.schema.holdout}); train with --holdout",
        )
    interactions = log.interactions(0, loaded.schema.trained_to)
    hidden = held_out(interactions, split)
    rng = np.random.default_rng(settings.training.seed)
    positive, names = settings.positive_actions, log.user_ids
    by_time = split == "time"
    return Judged(
        loaded=loaded,
        cases=time_cases(interactions, time_cut(interactions), positive, names, rng)
        if by_time
        else last_item_cases(interactions, positive, names),
        training=interactions.take(~hidden),
        upcoming=interactions.take(hidden) if by_time else None,
        fold=loaded.live.fold if by_time else None,
        rng=rng,
    )

"""Tastes as a part of training: of slates older than the ranker's part, which it learns beside, then of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from slatewise.domain.ids import Mask
from slatewise.domain.settings import TrainingSettings
from slatewise.models.taste_table import TasteTable
from slatewise.training.attribution import named_by_requests
from slatewise.training.fit_tastes import FittedTastes, fit_tastes
from slatewise.training.material import LoggedSlate, Material, TrainingInput
from slatewise.training.moments import impression_moments, interaction_moments, is_replayable
from slatewise.training.progress import Progress
from slatewise.training.shown import shown_of

FEWEST_SLATES = 2_000
FEWEST_TAKEN = 500
FOUND_AT_MOST = 50_000
"""As many as slates are read of at most."""


@dataclass(frozen=True, slots=True)
class LearnedTastes:
    """Tastes of the past, which the ranker learns beside, and of all there is, which are served."""

    past: TasteTable
    served: TasteTable
    facts: dict[str, float]


def learn_tastes(
    given: TrainingInput,
    material: Material,
    later: Mask,
    training: TrainingSettings,
    progress: Progress,
    rng: np.random.Generator,
) -> LearnedTastes | None:
    """Fit tastes on what was shown. None without times, with few slates, or where they say nothing about others.

    *later* marks the interactions that are left to the ranker; slates from their time on are left to it as well.
    """
    interactions = material.interactions
    if not is_replayable(interactions) or not later.any():
        return None
    cut = float(interactions.at[later].min())
    early = [entry for entry in given.impressions if entry[2].at < cut]
    taken = sum(len(given.reactions.get(impression.request_id, ())) for _, _, impression, _ in early)
    if len(early) < FEWEST_SLATES or taken < FEWEST_TAKEN:
        return None

    alone = ~named_by_requests(interactions, given.impressions, given.reactions)

    def fit(entries: Sequence[LoggedSlate], known: Mask, passes: int | None = None) -> FittedTastes:
        found = interaction_moments(interactions, alone & known, material.positive, FOUND_AT_MOST, rng)
        beside = shown_of([replace(m, shown=np.array(list(m.wanted))) for m in found], len(material.actions))
        moments = impression_moments(entries, given.reactions, interactions, len(entries), rng)
        shown = shown_of(moments, len(material.actions))
        corrects = training.position_bias == "corrected"
        return fit_tastes(shown, beside, material, training.dim, training.seed, progress, corrects, passes)

    past = fit(early, ~later)
    if not past.earn_their_place:
        return None
    facts = {
        "passes": past.passes,
        "log_loss": round(past.loss, 5),
        "log_loss_of_rates": round(past.loss_of_rates, 5),
    }
    return LearnedTastes(past.table, fit(given.impressions, np.ones(len(later), bool), past.passes).table, facts)

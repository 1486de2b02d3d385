"""Tastes as a part of training: of slates older than the ranker's part, which it learns beside, then of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slatewise.domain.events import Impression
from slatewise.domain.ids import Mask, Rows
from slatewise.domain.settings import TrainingSettings
from slatewise.models.taste_table import TasteTable
from slatewise.training.fit_tastes import FittedTastes, fit_tastes
from slatewise.training.material import Material, TrainingInput
from slatewise.training.moments import impression_moments, is_replayable
from slatewise.training.progress import Progress
from slatewise.training.shown import shown_of

FEWEST_SLATES = 2_000
FEWEST_TAKEN = 500


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

    def fit(entries: Sequence[tuple[int, int, Impression, Rows]], passes: int | None = None) -> FittedTastes:
        moments = impression_moments(entries, given.reactions, interactions, len(entries), rng)
        shown = shown_of(moments, len(material.actions))
        corrects = training.position_bias == "corrected"
        return fit_tastes(shown, material, training.dim, training.seed, progress, corrects, passes)

    past = fit(early)
    if not past.earn_their_place:
        return None
    facts = {
        "passes": past.passes,
        "log_loss": round(past.loss, 5),
        "log_loss_of_places": round(past.loss_of_places, 5),
    }
    return LearnedTastes(past.table, fit(given.impressions, past.passes).table, facts)

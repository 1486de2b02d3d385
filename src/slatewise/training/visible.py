"""What training may read of its input under a holdout: interactions, and slates that give no held-out one away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from slatewise.domain.holdout import HoldoutMode, held_out
from slatewise.training.attribution import leading_to
from slatewise.training.material import TrainingInput


def visible(given: TrainingInput, holdout: HoldoutMode) -> TrainingInput:
    """Return the input without the held-out interactions and without the impressions that belong to them.

    An impression belongs to them where it is newer than all that is left, or where a held-out interaction came from it:
    it is the question that evaluation will ask, and its reactions are the answer.
    """
    held = held_out(given.interactions, holdout)
    kept = given.interactions.take(~held)
    newest = float(np.nanmax(kept.at, initial=-np.inf))
    early = [entry for entry in given.impressions if entry[2].at <= newest]
    tells = leading_to(given.interactions.take(held), early, given.reactions)
    shown = [entry for entry, is_told in zip(early, tells.tolist(), strict=True) if not is_told]
    return replace(given, interactions=kept, impressions=shown)

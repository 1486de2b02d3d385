"""One place for an item nobody knows yet, and how likely each outcome was. Pure but for the generator handed in."""

from __future__ import annotations

import numpy as np

from slatewise.domain.ids import Positions

NEW_DAYS = 30.0
"""Age in days up to which an item counts as new."""


def explored(new: Positions, probability: float, rng: np.random.Generator) -> int | None:
    """Return one of the positions *new*, drawn evenly, with this probability; else None.

    Draws nothing at probability 0, so switching exploration off makes slates repeatable.
    """
    if probability <= 0 or not new.size or rng.random() >= probability:
        return None
    return int(new[rng.integers(new.size)])


def propensity(is_explored: bool, eligible: int, probability: float) -> float:
    """Return how likely the item in the explored place was to stand there, given *eligible* new items to draw from.

    Each of them has ``probability / eligible``, the ordinary item what is left; over all outcomes they add up to 1.
    Without an eligible item the ordinary one is certain. Inverse-propensity estimates divide by these (Swaminathan &
    Joachims, "Counterfactual Risk Minimization", ICML 2015).
    """
    if eligible <= 0 or probability <= 0:
        return 1.0
    return probability / eligible if is_explored else 1.0 - probability

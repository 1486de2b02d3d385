"""One place for an item nobody knows yet. Pure but for the generator handed in."""

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

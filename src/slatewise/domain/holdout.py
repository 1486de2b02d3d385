"""Which interactions training may not see. Pure functions over columns, shared by training, serving and evaluation."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from slatewise.domain.columns import Interactions
from slatewise.domain.errors import TrainingError
from slatewise.domain.ids import Mask, Positions

HoldoutMode: TypeAlias = Literal["none", "last-item", "time"]

TIME_SHARE = 0.15
"""Share of the newest interactions that ``time`` holds out."""


def history_order(interactions: Interactions) -> Positions:
    """Return positions sorted by user, then time (unknown first), then log offset: each user's history in a row."""
    at = np.where(np.isfinite(interactions.at), interactions.at, -np.inf)
    return np.lexsort((interactions.offset, at, interactions.user))


def last_of_each_user(interactions: Interactions, skip: int = 0) -> Mask:
    """Mark each user's last interaction but *skip*; users with fewer than three interactions keep all theirs."""
    mask = np.zeros(len(interactions), bool)
    if not len(interactions):
        return mask
    order = history_order(interactions)
    user = interactions.user[order]
    end = np.flatnonzero(np.append(user[1:] != user[:-1], True))
    length = np.diff(np.append(-1, end))
    mask[order[end[length >= 3] - skip]] = True
    return mask


def time_cut(interactions: Interactions, share: float = TIME_SHARE) -> float:
    """Return the instant from which the newest *share* of the interactions lies. Raises TrainingError without times."""
    known = interactions.at[np.isfinite(interactions.at)]
    if known.size == 0:
        raise TrainingError("holdout 'time' needs timestamps, and no interaction has one; use 'last-item' or 'none'")
    return float(np.quantile(known, 1.0 - share))


def held_out(interactions: Interactions, mode: HoldoutMode) -> Mask:
    """Mark the interactions that training under *mode* may not see; shape ``(n,)``."""
    if mode == "last-item":
        return last_of_each_user(interactions)
    if mode == "time":
        return np.isfinite(interactions.at) & (interactions.at >= time_cut(interactions))
    return np.zeros(len(interactions), bool)

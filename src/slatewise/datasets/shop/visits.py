"""When users come: how often, on which days, at which hours."""

from __future__ import annotations

import numpy as np

from slatewise.datasets.shop.settings import DAY_S, ShopSettings
from slatewise.datasets.shop.world import Floats, People

MAX_VISITS = 400
APART_S = 7_200.0
"""Least time between the beginnings of two visits of one user."""


def visit_times(people: People, settings: ShopSettings, rng: np.random.Generator) -> Floats:
    """Return each user's visits in order, ``(n, most visits)``, infinite where there are fewer."""
    rate = settings.sessions_per_user * people.activity / people.activity.mean()
    counts = np.clip(rng.poisson(rate), 1, MAX_VISITS)
    shape = (len(people), int(counts.max()))
    day = np.floor(rng.uniform(0, settings.days, shape))
    evening = rng.random(shape) < 0.6
    hour = np.where(evening, rng.normal(20, 2, shape), rng.normal(12.5, 3, shape)) % 24
    at = settings.start + (day + hour / 24) * DAY_S
    at[np.arange(shape[1]) >= counts[:, None]] = np.inf
    at.sort(axis=1)
    slack = np.arange(shape[1]) * APART_S
    at = np.floor(np.maximum.accumulate(at - slack, axis=1) + slack)
    # An hour before the end, so that what a visit leads to lies in the past as well.
    at[at > settings.end - 3_600.0] = np.inf
    return at

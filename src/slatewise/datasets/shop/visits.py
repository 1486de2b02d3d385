"""When users come and look at slates: how often, on which days, at which hours."""

from __future__ import annotations

import numpy as np

from slatewise.datasets.shop.settings import DAY_S, ShopSettings
from slatewise.datasets.shop.world import Floats, People
from slatewise.domain.ids import Positions

MAX_VISITS = 400
APART_S = 7_200.0
"""Least time between the beginnings of two visits of one user."""
LONGEST_PAUSE_S = 110
SHORTEST_PAUSE_S = 20


def reading_s(size: int) -> int:
    """Return how long a slate and what it leads to take, in seconds."""
    return 10 + 3 * size


def slate_times(people: People, settings: ShopSettings, rng: np.random.Generator) -> Floats:
    """Return when each user looks at slates, in order and whole seconds, ``(n, most slates)``, infinite padding."""
    visits = _visits(people, settings, rng)
    user, visit = np.nonzero(np.isfinite(visits))
    most = int(APART_S // (reading_s(settings.slate_size) + LONGEST_PAUSE_S))
    slates = np.minimum(rng.geometric(1.0 / settings.slates_per_session, user.size), most)
    owner = np.repeat(user, slates)
    pause = rng.integers(SHORTEST_PAUSE_S, LONGEST_PAUSE_S, owner.size) + reading_s(settings.slate_size)
    first = np.repeat(np.cumsum(slates) - slates, slates)
    passed = np.cumsum(pause)
    at = np.repeat(visits[user, visit], slates) + passed - passed[first]
    held = np.bincount(owner, minlength=len(people))
    times = np.full((len(people), int(held.max(initial=0))), np.inf)
    times[owner, _place(held)] = at
    return times


def _place(held: Positions) -> Positions:
    """Return 0, 1, 2, ... anew for each user."""
    return np.arange(held.sum()) - np.repeat(np.cumsum(held) - held, held)


def _visits(people: People, settings: ShopSettings, rng: np.random.Generator) -> Floats:
    rate = settings.sessions_per_user * people.activity / people.activity.mean()
    counts = np.clip(rng.poisson(rate), 1, MAX_VISITS)
    shape = (len(people), int(counts.max()))
    day = np.floor(rng.uniform(0, settings.days, shape))
    is_evening = rng.random(shape) < 0.6
    hour = np.where(is_evening, rng.normal(20, 2, shape), rng.normal(12.5, 3, shape)) % 24
    at: Floats = settings.start + (day + hour / 24) * DAY_S
    at[np.arange(shape[1]) >= counts[:, None]] = np.inf
    at.sort(axis=1)
    slack = np.arange(shape[1]) * APART_S
    at = np.floor(np.maximum.accumulate(at - slack, axis=1) + slack)
    # What a visit leads to must lie in the past as well.
    at[at > settings.end - APART_S] = np.inf
    return at

"""How sure a mean is: standard errors and paired bootstrap intervals over users. Does not know what was measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Rows
from slatewise.evaluation.lists import PerQuery

SAMPLES = 2000
CELLS = 4_000_000
"""Drawn users held at once, which bounds the memory."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean difference with its percentile interval; NaN where there was nothing to measure."""

    difference: float
    low: float
    high: float
    level: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def standard_error(value: PerQuery, user: Rows) -> float:
    """Return the standard error of the mean over queries, with queries of one user as one cluster.

    NaN values are left out; NaN for fewer than two users. One query per user gives the textbook ``s / sqrt(n)``.
    """
    total, count = _by_user(value, user)
    if count.size < 2:
        return float("nan")
    residual = total - count * (total.sum() / count.sum())
    return float(np.sqrt((residual**2).sum() * count.size / (count.size - 1)) / count.sum())


def paired_bootstrap(
    first: PerQuery, second: PerQuery, user: Rows, rng: np.random.Generator, level: float = 0.95, samples: int = SAMPLES
) -> Interval:
    """Return the mean of ``first - second`` and its percentile interval, drawing whole users with replacement.

    All three have shape ``(queries,)`` and one order. Efron and Tibshirani, "An Introduction to the Bootstrap", 1993.
    """
    total, count = _by_user(first - second, user)
    if not count.size:
        return Interval(float("nan"), float("nan"), float("nan"), level)
    means = np.empty(samples)
    step = max(1, CELLS // count.size)
    for start in range(0, samples, step):
        drawn = rng.integers(0, count.size, (min(step, samples - start), count.size))
        means[start : start + step] = total[drawn].sum(1) / count[drawn].sum(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(total.sum() / count.sum()), float(low), float(high), level)


def _by_user(value: PerQuery, user: Rows) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    known = np.isfinite(value)
    users, place = np.unique(user[known], return_inverse=True)
    total = np.bincount(place, value[known], users.size)
    return total.astype(np.float64), np.bincount(place, minlength=users.size).astype(np.float64)

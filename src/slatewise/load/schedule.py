"""When requests are due and of which kind they are: fixed before the run, so that no answer can move them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slatewise.load.plan import KINDS, Plan


def due_times(arrivals: str, rate: float, seconds: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return when requests are due, ascending in ``[0, seconds)``, *rate* per second on average.

    ``constant`` spaces them evenly; ``poisson`` draws independent gaps, as many users who know nothing of each other.
    """
    if arrivals == "constant":
        return np.arange(int(np.ceil(rate * seconds - 1e-9)), dtype=np.float64) / rate
    # Given their number, the instants of a Poisson process are independent and uniform.
    return np.sort(rng.uniform(0.0, seconds, int(rng.poisson(rate * seconds))))


def kinds(plan: Plan, count: int, rng: np.random.Generator) -> npt.NDArray[np.int8]:
    """Return the kind of each request as its place in `KINDS`, drawn independently by the shares of the mix."""
    shares = np.array([plan.mix.get(kind, 0.0) for kind in KINDS])
    return rng.choice(len(KINDS), size=count, p=shares / shares.sum()).astype(np.int8)


def zipf(count: int, size: int, exponent: float, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return *size* numbers below *count*, where k comes up in proportion to ``1 / (k + 1) ** exponent``."""
    weight = 1.0 / np.arange(1, count + 1) ** exponent
    return rng.choice(count, size=size, p=weight / weight.sum())

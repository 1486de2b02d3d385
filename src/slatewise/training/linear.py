"""Chooses and fits the linear part of retrieval: neighbour lists and factors. Looks at the data, needs no torch.

Two families: a history read as a set (low-pass filter and co-occurrence) and, where there is an order, what follows
the newest steps. The held-back interactions decide, also about widths, powers and decays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from slatewise.domain.columns import Interactions
from slatewise.domain.holdout import history_order
from slatewise.models.following import fit_following
from slatewise.models.interaction_matrix import interaction_matrix
from slatewise.models.item_item import BAG, ItemItem, no_lists
from slatewise.models.low_pass import LowPass, direct_filter, fit_low_pass
from slatewise.models.spectral import SpectralBasis, SpectralFactors, spectral_basis
from slatewise.training.progress import Progress
from slatewise.training.validation import Matrix, Validation, mean_of, preferred

POWERS = (0.0, 0.5, 1.0)
"""Tried; the first is the usual one, as is the widest rank."""

WIDTHS = (8, 4, 2, 1)
"""Parts of the affordable rank that are tried."""

DIRECT = (0.0, 0.35, 0.7, 1.4, 2.8, 5.6)
USUAL_DIRECT = 1.4
DECAYS = (0.5, 0.6, 0.7, 0.8, 0.9)
SET_LAST = 1000
NEIGHBOURS = 100
ENTRIES = 20_000_000
"""Neighbour entries kept at most (160 MB), which shortens the lists of catalogues above 200,000 items."""

BASIS_CELLS = 100_000_000
"""Size of the spectral basis at most (400 MB)."""


@dataclass(frozen=True, slots=True)
class LinearChoice:
    """What the validation preferred, and how it did there: NDCG@10 of the lists' scores alone."""

    family: Literal["set", "following"]
    low_pass: LowPass
    decay: float
    ndcg: float
    tried: int


@dataclass(frozen=True, slots=True)
class Linear:
    """Fitted lists, and spectral factors of the settings' width from the same decomposition."""

    lists: ItemItem
    factors: SpectralFactors


def affordable_rank(n_items: int, rank: int) -> int:
    """Return how many spectral signals are kept: *rank*, fewer for large catalogues and for small ones.

    An eighth of all signals is no longer a low-pass filter.
    """
    return max(16, min(rank, n_items // 8, BASIS_CELLS // max(n_items, 1)))


def without_lists(
    past: Interactions, n_items: int, dim: int, rng: np.random.Generator
) -> tuple[LinearChoice, SpectralFactors]:
    """Return what `choose_linear` does where settings want no lists: factors of *past*, and nothing to choose."""
    basis = spectral_basis(interaction_matrix(past.user, past.item, n_items), dim, rng)
    return LinearChoice("set", LowPass(0, 0.0, 0.0), BAG, 0.0, 0), basis.factors(dim)


def choose_linear(
    past: Interactions, validation: Validation, rank: int, dim: int, rng: np.random.Generator, progress: Progress
) -> tuple[LinearChoice, SpectralFactors]:
    """Try both families on *past*, the positive interactions that the validation's users are judged without.

    Returns the choice, and factors of width *dim* of *past* from the decomposition that it was made with.
    """
    matrix = interaction_matrix(past.user, past.item, validation.n_items)
    affordable = affordable_rank(validation.n_items, rank)
    basis = spectral_basis(matrix, affordable, rng, lambda share: progress.step("linear model", share * 0.6, 1.0))
    chosen = _choose_set(matrix, basis, validation, progress)
    if past.is_ordered:
        chosen = max((chosen, _choose_following(past, validation)), key=lambda c: c.ndcg)
    progress.step("linear model", 1.0, 1.0, f"{chosen.family}, validation NDCG@10 {chosen.ndcg:.4f}")
    return chosen, basis.factors(dim)


def _choose_set(matrix: Any, basis: SpectralBasis, validation: Validation, progress: Progress) -> LinearChoice:
    by_item, by_user = direct_filter(matrix)
    bags = _bags(validation)
    ranks = sorted({max(1, basis.sigma.size // part) for part in WIDTHS})
    filters = [LowPass(r, power, USUAL_DIRECT) for power in POWERS for r in ranks]

    def direct(part: slice) -> Matrix:
        found: Matrix = ((bags[part] @ by_item) @ by_user).toarray()
        return found

    def widths(part: slice) -> Iterator[Matrix]:
        straight = np.float32(USUAL_DIRECT) * direct(part)
        for power in POWERS:
            factors = basis.factors(basis.sigma.size, power)
            total, done = straight.copy(), 0
            for r in ranks:
                total += (bags[part] @ factors.input[:, done:r]) @ factors.output[:, done:r].T
                done = r
                yield total.copy()

    ndcg = validation.ndcgs_of_users(widths)
    at = preferred(ndcg, filters.index(LowPass(ranks[-1], POWERS[0], USUAL_DIRECT)))
    best = filters[at]
    progress.step("linear model", 0.8, 1.0, f"set, validation NDCG@10 {mean_of(ndcg)[at]:.4f}")
    factors = basis.factors(best.rank, best.power)

    def directs(part: slice) -> Iterator[Matrix]:
        straight = direct(part)
        smooth = (bags[part] @ factors.input) @ factors.output.T
        yield from (smooth + np.float32(weight) * straight for weight in DIRECT)

    ndcg = validation.ndcgs_of_users(directs)
    at = preferred(ndcg, DIRECT.index(USUAL_DIRECT))
    best = replace(best, direct=DIRECT[at])
    return LinearChoice("set", best, BAG, float(mean_of(ndcg)[at]), len(filters) + len(DIRECT))


def _bags(validation: Validation) -> Any:
    distinct = [np.unique(rows) for rows in validation.rows]
    query = np.repeat(np.arange(len(distinct)), [rows.size for rows in distinct])
    item = np.concatenate(distinct) if distinct else np.empty(0, np.int64)
    return sp.csr_matrix((np.ones(item.size, np.float32), (query, item)), shape=(len(distinct), validation.n_items))


def _choose_following(past: Interactions, validation: Validation) -> LinearChoice:
    lists = _following(past, validation.n_items, DECAYS[0])

    def decays(part: slice) -> Iterator[Matrix]:
        yield from (replace(lists, decay=decay).scores(validation.rows[part]) for decay in DECAYS)

    ndcg = validation.ndcgs(decays)
    nothing = LowPass(0, 0.0, 0.0)
    return LinearChoice("following", nothing, DECAYS[int(ndcg.argmax())], float(ndcg.max()), len(DECAYS))


def fit_linear(
    interactions: Interactions,
    n_items: int,
    choice: LinearChoice,
    dim: int,
    rng: np.random.Generator,
    progress: Progress,
) -> Linear:
    """Fit the chosen lists (none, where there was no choice) and factors of width *dim* on positive *interactions*."""
    matrix = interaction_matrix(interactions.user, interactions.item, n_items)
    is_set = choice.family == "set"

    def tell(share: float) -> None:
        progress.step("neighbour lists", share, 1.0)

    basis = spectral_basis(matrix, max(dim, choice.low_pass.rank), rng, lambda share: tell(share * 0.4))
    if choice.tried == 0:
        lists = no_lists(n_items)
    elif is_set:
        kept = neighbours_kept(n_items)
        lists = fit_low_pass(matrix, basis, choice.low_pass, kept, SET_LAST, lambda share: tell(0.4 + share * 0.6))
    else:
        lists = _following(interactions, n_items, choice.decay)
    tell(1.0)
    return Linear(lists, basis.factors(dim))


def _following(interactions: Interactions, n_items: int, decay: float) -> ItemItem:
    ordered = interactions.take(history_order(interactions))
    return fit_following(ordered.user, ordered.item, n_items, neighbours_kept(n_items), decay)


def neighbours_kept(n_items: int) -> int:
    """Return how long each item's list is: shorter in large catalogues, so that all lists stay affordable."""
    return max(10, min(NEIGHBOURS, ENTRIES // max(n_items, 1)))

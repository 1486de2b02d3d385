"""Held-back interactions that judge models while they are made. Cut from what training may see; numpy only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slatewise.domain.columns import Interactions
from slatewise.domain.holdout import last_of_each_user
from slatewise.domain.ids import Mask, Rows
from slatewise.training.material import Histories
from slatewise.training.windows import Padded, pad_histories

USERS = 2000
USERS_WITHOUT_ORDER = 10_000
"""No tower is trained there, so judging is paid once; with 2,000 the noise chose among the filters (by seed)."""

UNORDERED_SHARE = 0.1
FEWEST_OF_USER = 5
CELLS = 20_000_000
"""Scores held at once, which bounds the memory."""

TOTAL_CELLS = 400_000_000
"""Scores computed per option at most: large catalogues are judged by fewer users."""

Matrix = npt.NDArray[np.float32]


def hold_back(interactions: Interactions, positive: frozenset[int], n_items: int, rng: np.random.Generator) -> Mask:
    """Mark what judges the models: the last interaction of some users, where it is worth predicting.

    Without an order, a tenth of the interactions of those users. Small data keeps half of its users whole.
    """
    wanted = np.isin(interactions.action, list(positive))
    candidates = last_of_each_user(interactions) if interactions.is_ordered else _random_share(interactions, rng)
    place = np.flatnonzero(candidates & wanted)
    users = np.unique(interactions.user[place])
    most = USERS if interactions.is_ordered else USERS_WITHOUT_ORDER
    size = min(most, max(1, users.size // 2), max(100, TOTAL_CELLS // max(n_items, 1)))
    chosen = rng.choice(users, min(size, users.size), replace=False)
    mask = np.zeros(len(interactions), bool)
    mask[place[np.isin(interactions.user[place], chosen)]] = True
    return mask


def _random_share(interactions: Interactions, rng: np.random.Generator) -> Mask:
    order = np.lexsort((rng.random(len(interactions)), interactions.user))
    user = interactions.user[order]
    first = np.flatnonzero(np.append(True, user[1:] != user[:-1])) if user.size else np.empty(0, np.int64)
    length = np.diff(np.append(first, user.size))
    place = np.arange(user.size) - np.repeat(first, length)
    share = np.where(length >= FEWEST_OF_USER, np.maximum(1, np.round(length * UNORDERED_SHARE)), 0)
    mask = np.zeros(len(interactions), bool)
    mask[order[place < np.repeat(share, length)]] = True
    return mask


@dataclass(frozen=True, slots=True)
class Validation:
    """Users with a history that models may know, and what each of them is to be offered.

    ``user`` ``(v,)``; ``rows`` each one's whole history, oldest first, ``past`` its newest steps; ``target`` ``(t,)``
    rows with ``of`` ``(t,)`` the place of their user.
    """

    user: Rows
    rows: list[Rows]
    past: Padded
    target: Rows
    of: npt.NDArray[np.int64]
    n_items: int

    @staticmethod
    def of_held(known: Interactions, held: Interactions, length: int, n_items: int) -> Validation:
        """Pair the *held* interactions with their users' histories in *known*; users without one are left out."""
        histories = Histories.of(known)
        users = np.intersect1d(held.user, histories.user)
        past = [histories.history(i) for i in np.searchsorted(histories.user, users).tolist()]
        kept = np.isin(held.user, users)
        return Validation(
            users,
            [h.row for h in past],
            pad_histories(past, length),
            held.item[kept],
            np.searchsorted(users, held.user[kept]),
            n_items,
        )

    def __len__(self) -> int:
        return int(self.user.size)

    def sample(self, size: int) -> Validation:
        """Return the same for *size* users chosen at random, always the same ones; itself where it has no more."""
        if len(self) <= size:
            return self
        chosen = np.sort(np.random.default_rng(0).choice(len(self), size, replace=False))
        kept = np.isin(self.of, chosen)
        rows = [self.rows[i] for i in chosen.tolist()]
        of = np.searchsorted(chosen, self.of[kept])
        return Validation(self.user[chosen], rows, self.past.take(chosen), self.target[kept], of, self.n_items)

    def ndcg(self, scores: Callable[[slice], Matrix], k: int = 10) -> float:
        """Return the mean NDCG@k over the whole catalogue, the user's history left out.

        *scores* maps a slice of the users to ``(b, n_items)``, which is overwritten.
        """
        return float(self.ndcgs(lambda part: (scores(part),), k)[0]) if len(self) else 0.0

    def ndcgs(self, options: Callable[[slice], Iterable[Matrix]], k: int = 10) -> npt.NDArray[np.float64]:
        """Return the mean NDCG@k of several options at once; *options* yields one score matrix each, in one order."""
        return mean_of(self.ndcgs_of_users(options, k))

    def ndcgs_of_users(self, options: Callable[[slice], Iterable[Matrix]], k: int = 10) -> npt.NDArray[np.float64]:
        """Return what `ndcgs` does per user, shape ``(options, v)``."""
        batch = int(np.clip(CELLS // max(self.n_items, 1), 1, 256))
        parts = [slice(lo, min(lo + batch, len(self))) for lo in range(0, max(len(self), 1), batch)]
        return np.concatenate([np.stack([self._gains(part, score, k) for score in options(part)]) for part in parts], 1)

    def _gains(self, part: slice, score: Matrix, k: int) -> npt.NDArray[np.float64]:
        if not len(score):
            return np.empty(0)
        hi = part.start + len(score)
        own = (self.of >= part.start) & (self.of < hi)
        query, target = self.of[own] - part.start, self.target[own]
        right = score[query, target].copy()
        seen = self.rows[part]
        score[np.repeat(np.arange(len(seen)), [rows.size for rows in seen]), np.concatenate(seen)] = -np.inf
        # Equal scores count as better ones: a model without an opinion earns nothing.
        rank = (score[query] >= right[:, None]).sum(1) - (score[query, target] >= right)
        gain = np.where(rank < k, 1.0 / np.log2(rank + 2.0), 0.0)
        ideal = np.cumsum(1.0 / np.log2(np.arange(k) + 2.0))
        wanted = np.bincount(query, minlength=len(score))
        per_user: npt.NDArray[np.float64] = np.bincount(query, gain, len(score)) / ideal[np.clip(wanted, 1, k) - 1]
        return per_user


def mean_of(ndcg: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the mean over the users of ``(options, v)``; 0 where there are none."""
    mean: npt.NDArray[np.float64] = ndcg.sum(1) / max(ndcg.shape[1], 1)
    return mean


def preferred(ndcg: npt.NDArray[np.float64], usual: int) -> int:
    """Return the *usual* option, or the best where that is better by more than one standard error; ``(options, v)``.

    The rule of Breiman et al. (Classification and Regression Trees, 1984) with paired differences: where users cannot
    tell options apart, their noise must not choose.
    """
    best = int(mean_of(ndcg).argmax())
    difference = ndcg[best] - ndcg[usual]
    if not difference.size:
        return usual
    error = float(difference.std()) / np.sqrt(difference.size)
    return best if float(difference.mean()) > error else usual

"""What the past asks of us: held-out interactions, each with the history known just before it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slatewise.domain.columns import Interactions
from slatewise.domain.history import History
from slatewise.domain.holdout import history_order, last_of_each_user
from slatewise.domain.ids import Mask, Positions, Rows


@dataclass(frozen=True, slots=True)
class Case:
    """One question with a known answer. ``history`` is all the user did before, newest last; empty for a cold user.

    ``at`` is the instant of the held-out interaction in seconds (NaN where unknown), ``offset`` its place in the log,
    ``user`` the user's row, ``targets`` the catalogue rows that answer it, ``action`` the code of what was done to them
    (-1: not known).
    """

    user: int
    user_id: str
    at: float
    offset: int
    history: History
    targets: Rows
    action: int = -1


UserIds = Callable[[Rows], Sequence[str]]
"""Gives the ids of user rows."""


def last_item_cases(
    interactions: Interactions, positive_actions: Collection[int], user_ids: UserIds, skip: int = 0
) -> list[Case]:
    """Return one case per user: the last interaction but *skip*, as `holdout.last_of_each_user` marks it.

    Users whose marked interaction is not positive, or who have fewer than three interactions, have no case.
    """
    held_out = last_of_each_user(interactions, skip)
    return _cases(interactions, held_out & with_actions(interactions.action, positive_actions), user_ids)


def time_cases(
    interactions: Interactions,
    cut: float,
    positive_actions: Collection[int],
    user_ids: UserIds,
    rng: np.random.Generator,
    max_per_user: int = 40,
) -> list[Case]:
    """Return one case per positive interaction from *cut* (seconds) on, in order of time, then log offset.

    A case's history holds everything of that user before it, from after the cut too: known by then. Of a user with more
    than *max_per_user* cases, that many are drawn without replacement, lest a few users decide the figures.
    """
    held_out = np.isfinite(interactions.at) & (interactions.at >= cut)
    chosen = _capped(interactions, held_out & with_actions(interactions.action, positive_actions), max_per_user, rng)
    cases = _cases(interactions, chosen, user_ids)
    return sorted(cases, key=lambda case: (case.at, case.offset))


def with_actions(action: npt.NDArray[np.int64], actions: Collection[int]) -> Mask:
    """Mark the entries of an action column that are one of *actions*; same shape."""
    return np.isin(action, np.fromiter(actions, np.int64, len(actions)))


def _capped(interactions: Interactions, mask: Mask, limit: int, rng: np.random.Generator) -> Mask:
    at = np.flatnonzero(mask)
    user = interactions.user[at]
    order = np.lexsort((rng.random(at.size), user))
    kept = np.zeros(len(interactions), bool)
    kept[at[order[_place_in_group(user[order]) < limit]]] = True
    return kept


def _place_in_group(key: npt.NDArray[np.int64]) -> Positions:
    start = np.flatnonzero(np.append(True, key[1:] != key[:-1])[: key.size])
    return np.arange(key.size) - np.repeat(start, np.diff(np.append(start, key.size)))


def _cases(interactions: Interactions, chosen: Mask, user_ids: UserIds) -> list[Case]:
    order = history_order(interactions)
    ordered = interactions.take(order)
    place = _place_in_group(ordered.user)
    stop = np.flatnonzero(chosen[order])
    start = stop - place[stop]
    users = ordered.user[stop]
    known, nth = np.unique(users, return_inverse=True)
    names = user_ids(known)
    return [
        Case(
            user=int(ordered.user[end]),
            user_id=names[n],
            at=float(ordered.at[end]),
            offset=int(ordered.offset[end]),
            # Slices are views: a million interactions are held once, however many histories look at them.
            history=History(ordered.item[begin:end], ordered.action[begin:end], ordered.at[begin:end]),
            targets=ordered.item[end : end + 1],
            action=int(ordered.action[end]),
        )
        for begin, end, n in zip(start.tolist(), stop.tolist(), nth.tolist(), strict=True)
    ]

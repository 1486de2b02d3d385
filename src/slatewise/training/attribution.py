"""Which slate an interaction came from: the one whose request it names, or the one that its item was taken from.

A purchase is often told by another system than the click before it, one that knows no request. It belongs to the slate
that was clicked on all the same (last-touch attribution). Numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from slatewise.domain.columns import Interactions
from slatewise.domain.ids import Mask, Rows
from slatewise.training.material import LoggedSlate, Reactions

HOUR_S = 3_600.0


def with_follow_ups(
    interactions: Interactions,
    impressions: Sequence[LoggedSlate],
    reactions: Reactions,
    weights: npt.NDArray[np.float64],
    hours: float,
) -> Reactions:
    """Return the *reactions* and what followed up on them without naming a request.

    An interaction follows up on the newest slate from which the same user had taken the same item, shown at most so
    many *hours* before, if its action weighs more than what the slate was taken up with: a purchase after a click does;
    a view is as well found anew. *weights* are the actions', ``(actions,)``.
    """
    told = _told(impressions, reactions)
    if not hours or not told.size:
        return reactions
    place, user, row, action = told.T
    named, own = _numbers(told, interactions)
    free = interactions.take(~np.isin(own, named) & np.isfinite(interactions.at))
    n, items = len(told), 1 + max(int(row.max()), int(interactions.item.max(initial=0)))
    pair = np.concatenate([user, free.user]) * items + np.concatenate([row, free.item])
    at = np.concatenate([np.array([entry[2].at for entry in impressions])[place], free.at])
    # By time within each pair of user and item; what was shown stands before what followed at the same instant.
    order = np.lexsort((np.arange(at.size) >= n, at, pair))
    newest = np.maximum.accumulate(np.where(order < n, np.arange(at.size), -1))
    follows = np.flatnonzero((order >= n) & (newest >= 0))
    slate, event = order[newest[follows]], order[follows]
    belongs = (pair[slate] == pair[event]) & (at[event] - at[slate] <= hours * HOUR_S)
    slate, acted = slate[belongs], free.action[event[belongs] - n]
    heavier = weights[acted] > weights[action[slate]]
    found = {request: list(done) for request, done in reactions.items()}
    for one, code in zip(slate[heavier].tolist(), acted[heavier].tolist(), strict=True):
        done = found[impressions[int(place[one])][2].request_id]
        if (int(row[one]), code) not in done:
            done.append((int(row[one]), code))
    return found


def named_by_requests(interactions: Interactions, impressions: Sequence[LoggedSlate], reactions: Reactions) -> Mask:
    """Mark the interactions that came from one of these slates: the same user, item and action; shape ``(n,)``."""
    named, own = _numbers(_told(impressions, reactions), interactions)
    return np.isin(own, named)


def leading_to(interactions: Interactions, impressions: Sequence[LoggedSlate], reactions: Reactions) -> Mask:
    """Mark the slates from which one of these interactions came, by the same rule; shape ``(len(impressions),)``."""
    told = _told(impressions, reactions)
    named, own = _numbers(told, interactions)
    mask = np.zeros(len(impressions), bool)
    mask[told[np.isin(named, own), 0]] = True
    return mask


def _told(impressions: Sequence[LoggedSlate], reactions: Reactions) -> npt.NDArray[np.int64]:
    """Return what is said of each reaction, ``(m, 4)``: the slate's place, user, item and action."""
    told = [
        (place, user, row, action)
        for place, (_, user, impression, _) in enumerate(impressions)
        for row, action in reactions.get(impression.request_id, ())
    ]
    return np.array(told, np.int64).reshape(-1, 4)


def _numbers(told: npt.NDArray[np.int64], interactions: Interactions) -> tuple[Rows, Rows]:
    """Return a number for user, item and action: of each reaction ``(m,)`` and of each interaction ``(n,)``."""
    _, users, rows, actions = told.T
    items = 1 + max(int(rows.max(initial=0)), int(interactions.item.max(initial=0)))
    kinds = 1 + max(int(actions.max(initial=0)), int(interactions.action.max(initial=0)))
    own = (interactions.user * items + interactions.item) * kinds + interactions.action
    return (users * items + rows) * kinds + actions, own

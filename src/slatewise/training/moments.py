"""The instants the ranker learns from: what a user had done by then, and what came next. Numpy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from slatewise.domain.columns import Interactions
from slatewise.domain.events import Attributes
from slatewise.domain.history import EMPTY_HISTORY, History
from slatewise.domain.ids import Mask, Rows
from slatewise.training.material import Histories, LoggedSlate, Reactions

REAL_TIMES_FROM = 1e8
"""Times below this (March 1973) are positions or counters, not instants: they do not order different users."""

SLICE_SHARE = 0.15
SLICE_SHARE_SHOWN = 0.4
ENOUGH_SHOWN = 10_000
"""Logged slates from which on the ranker's slice is larger: what was shown and not taken teaches the ranker alone."""
TAIL_SHARE = 0.1
TAIL_LONGEST = 5


@dataclass(frozen=True, slots=True)
class Moment:
    """One user at one instant. ``wanted`` maps rows acted on next to the action's index.

    ``shown`` holds what an impression showed, in order; None where candidates are to be retrieved.
    ``offset`` is the log offset before which the counters may know the world. ``context`` is the impression's, empty
    where nothing was logged as shown.
    """

    user: int
    at: float
    offset: int
    history: History
    wanted: Mapping[int, Sequence[int]]
    shown: Rows | None = None
    context: Attributes = field(default_factory=dict)


def ranker_slice(interactions: Interactions, shown: int = 0) -> Mask:
    """Mark what the towers leave to the ranker: lists from data that the retriever has seen teach the wrong trust.

    With real times, the newest share of all, more where many slates were logged as *shown*; else the tail of each
    user's history, as only that order is known.
    """
    at = interactions.at[np.isfinite(interactions.at)]
    if at.size * 2 > len(interactions) and float(np.median(at)) >= REAL_TIMES_FROM:
        share = SLICE_SHARE_SHOWN if shown >= ENOUGH_SHOWN else SLICE_SHARE
        return np.isfinite(interactions.at) & (interactions.at >= np.quantile(at, 1 - share))
    mask = np.zeros(len(interactions), bool)
    histories = Histories.of(interactions)
    offsets = []
    for lo, hi in zip(histories.start[:-1].tolist(), histories.start[1:].tolist(), strict=True):
        tail = min(TAIL_LONGEST, int((hi - lo) * TAIL_SHARE))
        offsets.append(histories.ordered.offset[hi - tail : hi])
    if offsets:
        mask[np.isin(interactions.offset, np.concatenate(offsets))] = True
    return mask


def is_replayable(interactions: Interactions) -> bool:
    """Whether instants of different users compare, so that counters can be replayed to each instant."""
    known = interactions.at[np.isfinite(interactions.at)]
    return bool(known.size * 2 > len(interactions) and np.median(known) >= REAL_TIMES_FROM)


def interaction_moments(
    interactions: Interactions, chosen: Mask, positive: frozenset[int], limit: int, rng: np.random.Generator
) -> list[Moment]:
    """Return up to *limit* moments, each just before a chosen interaction worth predicting, in log order."""
    histories = Histories.of(interactions)
    ordered = histories.ordered
    picked = np.isin(ordered.offset, interactions.offset[chosen]) & np.isin(ordered.action, list(positive))
    place = np.flatnonzero(picked)
    if place.size > limit:
        place = np.sort(rng.choice(place, limit, replace=False))
    owner = np.searchsorted(histories.start, place, side="right") - 1
    moments: list[Moment] = []
    for p, u in zip(place.tolist(), owner.tolist(), strict=True):
        lo = int(histories.start[u])
        past = History(ordered.item[lo:p], ordered.action[lo:p], ordered.at[lo:p])
        item = int(ordered.item[p])
        if p > lo and item == past.row[-1]:
            continue
        moments.append(
            Moment(
                user=int(ordered.user[p]),
                at=float(ordered.at[p]),
                offset=int(ordered.offset[p]),
                history=past,
                wanted={item: (int(ordered.action[p]),)},
            )
        )
    return sorted(moments, key=lambda m: m.offset)


def impression_moments(
    impressions: Sequence[LoggedSlate],
    reactions: Reactions,
    interactions: Interactions,
    limit: int,
    rng: np.random.Generator,
) -> list[Moment]:
    """Return up to *limit* moments from what was shown, *impressions* in log order.

    Impressions without any reaction stay in: they teach how often nothing is wanted.
    """
    histories = Histories.of(interactions)
    chosen = np.sort(rng.choice(len(impressions), min(limit, len(impressions)), replace=False))
    moments: list[Moment] = []
    for i in chosen.tolist():
        offset, user, impression, shown = impressions[i]
        at = int(np.searchsorted(histories.user, user))
        past = histories.history(at) if at < len(histories) and histories.user[at] == user else EMPTY_HISTORY
        before = int(np.searchsorted(past.at, impression.at, side="left"))
        wanted: dict[int, list[int]] = {}
        for row, action in reactions.get(impression.request_id, ()):
            wanted.setdefault(row, []).append(action)
        history = History(past.row[:before], past.action[:before], past.at[:before])
        moments.append(Moment(user, impression.at, offset, history, wanted, shown, impression.context))
    return moments

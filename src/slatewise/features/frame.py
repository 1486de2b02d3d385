"""The ranker's dense inputs, one definition each, read live and in replay by the same code.

A value depends on the query and its candidate alone: no ranks, no normalising over the list.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from slatewise.domain.candidate import Candidates
from slatewise.domain.history import History
from slatewise.domain.ids import Frame, Rows, Vectors
from slatewise.domain.query import Resolved
from slatewise.features import contacts as contact
from slatewise.features.contacts import contacts, log_seconds, met
from slatewise.features.content import Content
from slatewise.features.spaces import NAMES as SPACES
from slatewise.features.spaces import Spaces, pairwise
from slatewise.features.state import CountedState
from slatewise.features.tastes import tastes
from slatewise.ports.relations import Relation
from slatewise.ports.stores import Catalogue

NEAR_LAGS = 3
RECENT = 10
LONG = 50
PAIR_PRIOR = 20.0
DAY_S = 86_400.0
LAG_WEIGHTS = np.array([[0.8**lag] for lag in range(RECENT)])
NO_ACTIONS = np.empty(0, np.int64)
OLD_S = 60 * DAY_S
"""Age from which on an item is old. Told apart further, the ages of a catalogue that came all at once are a calendar:
the ranker learns which items were wanted in which weeks, and those weeks never come again."""

NAMES = (
    "affinity",
    "neighbours",
    "affinity_to_last",
    "affinity_to_recent_max",
    "affinity_to_recent_mean",
    "popularity",
    "trend_day",
    "trend_week",
    "trend_month",
    "follows_last",
    "follows_second_last",
    "follows_third_last",
    "follows_recent",
    "co_occurs_recent",
    "age",
    "history_length",
    "since_last",
    "hour_sine",
    "hour_cosine",
    "category_share",
    "category_since",
    "affinity_to_lasting",
    "affinity_to_visit",
    "visit_length",
    *SPACES,
    *contact.NAMES,
)


def names_for(actions: Sequence[str], content: Sequence[str]) -> tuple[str, ...]:
    """Return the columns' names in a shop: `NAMES`, the user's contacts by each action, then those of the *content*."""
    return (*NAMES, *(f"contacts_{action}" for action in actions), *content)


class DenseFrame:
    """Reads ``len(names)`` columns per candidate. *vectors* maps rows to item vectors ``(n, d)``. Thread-safe.

    *actions* names the actions that contacts are told apart by, with the code that histories have for each (-1: none);
    *content* reads the items' attributes.
    *relation* are the bundle's neighbour lists, where it has any; *weight* is theirs in the order of retrieval, which
    is what the first column repeats. *wanted* names the columns that a bundle's ranker learned from, in order, where
    they are fewer than today's. *spaces* are those beside the towers', where the bundle has any.
    """

    def __init__(
        self,
        state: CountedState,
        catalogue: Catalogue,
        vectors: Callable[[Rows], Vectors],
        actions: Mapping[str, int],
        content: Content,
        relation: Relation | None = None,
        weight: float = 0.0,
        wanted: Sequence[str] = (),
        spaces: Spaces | None = None,
    ) -> None:
        every = names_for(tuple(actions), content.names)
        self._width = len(every)
        self._names = tuple(wanted) or every
        self._chosen = None if self._names == every else np.array([every.index(name) for name in self._names], np.int64)
        self._content = content
        self._actions = np.array(list(actions.values()), np.int64)
        self._state = state
        self._catalogue = catalogue
        self._vectors = vectors
        self._relation = relation
        self._weight = weight
        self._spaces = spaces

    @property
    def names(self) -> tuple[str, ...]:
        return self._names

    def read(self, query: Resolved, candidates: Candidates) -> Frame:
        rows = candidates.row
        history = query.user.history
        at = query.query.at
        frame = np.full((self._width, rows.size), np.nan, np.float32)
        if rows.size:
            self._affinities(query, history, rows, frame)
            count = self._state.popularity.counts(rows).astype(np.float64)
            frame[5] = np.log1p(count)
            frame[6:9] = np.log((self._state.popularity.trends(rows, at) + 1.0) / (count + 1.0))
            self._transitions(history, rows, count, frame[9:14])
            frame[14] = log_seconds(np.minimum(at - self._catalogue.created_at[rows], OLD_S))
            frame[15] = np.log1p(len(history))
            frame[16] = log_seconds(at - history.at[-1:])[0] if len(history) else np.nan
            turn = 2.0 * math.pi * (at % DAY_S) / DAY_S
            # The place in the day, UTC, as a point on a circle: mornings and nights differ.
            frame[17], frame[18] = math.sin(turn), math.cos(turn)
            self._categories(history, rows, at, frame[19:21])
            own, met_from = len(NAMES) + self._actions.size, len(NAMES) - len(contact.NAMES)
            if self._spaces is not None:
                self._spaces.read(history, rows, at, frame[met_from - len(SPACES) : met_from])
            frame[met_from:own] = contacts(history, rows, at, self._actions)
            frame[own:] = self._content.read(history, rows)
        return np.ascontiguousarray((frame if self._chosen is None else frame[self._chosen]).T)

    def _affinities(self, query: Resolved, history: History, rows: Rows, out: Frame) -> None:
        long = history.last(LONG)
        past = self._vectors(long.row)
        others, visit = [past[-RECENT:]], 0
        if len(long):
            liked, visit = tastes(long, past, query.query.at)
            others.append(liked)
        if query.vector is not None:
            others.append(query.vector)
        # One product for all that are compared with: each number is of its own two rows whatever stands beside them.
        dots = pairwise(self._vectors(rows), np.concatenate(others)) if len(others) > 1 else None
        out[23] = min(visit, RECENT)
        if dots is not None and query.vector is not None:
            out[0] = dots[:, -1]
        if self._relation is not None:
            out[1] = self._relation.at(history.row, rows) * np.float32(self._weight)
            out[0] += np.nan_to_num(out[1])
        if dots is not None and len(long):
            steps = min(len(long), RECENT)
            similar = dots[:, :steps]
            out[2], out[3], out[4] = similar[:, -1], similar.max(1), similar.mean(1)
            out[21] = dots[:, steps]
            if visit:
                out[22] = dots[:, steps + 1]

    def _transitions(self, history: History, rows: Rows, count: npt.NDArray[np.float64], out: Frame) -> None:
        out[:] = 0.0
        last = history.row[-RECENT:][::-1].copy()
        if not last.size:
            return
        near, decayed = self._state.transitions.between_all(last, rows)
        if not decayed.any():  # nor then what follows directly, which counts in both
            return
        before = (self._state.popularity.counts(last) + PAIR_PRIOR)[:, None]
        share = LAG_WEIGHTS[: last.size] / before
        lags = min(NEAR_LAGS, last.size)
        told = np.zeros((5, rows.size))
        np.multiply(near[:lags], 1000.0 / before[:lags], out=told[:lags])
        # Running sums add lag by lag whatever the number of candidates; plain ones may pair them up otherwise.
        np.multiply(np.add.accumulate(near * share)[-1], 1000.0, out=told[3])
        # Cosine-like: what many follow is no news, so the candidate's own count is discounted too.
        np.divide(np.add.accumulate(decayed * share)[-1], np.sqrt(count + PAIR_PRIOR), out=told[4])
        told[4] *= 100.0
        out[:] = np.log1p(told, out=told)

    def _categories(self, history: History, rows: Rows, at: float, out: Frame) -> None:
        codes = self._catalogue.codes("categories")
        recent, wanted = history.last(LONG), codes.take(rows)
        times, latest = met(codes.take(recent.row), recent, wanted, NO_ACTIONS)
        out[0] = np.expm1(np.log1p(times[0]).astype(np.float32)) / max(len(recent), 1)
        known = (latest >= 0).nonzero()[0]
        out[1, known] = log_seconds(at - recent.at.take(latest.take(known)))
        nowhere = wanted < 0
        if nowhere.any():
            out[:, nowhere] = np.nan

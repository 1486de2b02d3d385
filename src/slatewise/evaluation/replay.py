"""Runs cases through the real read line and keeps what each stage answered. Does not know how the line is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from slatewise.domain.candidate import Candidates
from slatewise.domain.columns import Interactions
from slatewise.domain.errors import InputError
from slatewise.domain.ids import Positions, Rows
from slatewise.domain.ordering import best_first
from slatewise.domain.query import PastAction, Query
from slatewise.domain.slate import Slate
from slatewise.evaluation.cases import Case
from slatewise.evaluation.lambdarank import Rescore
from slatewise.evaluation.lists import Lists, PerQuery, padded

STAGES = ("retrieval", "filtered", "ranked", "final")

Recommend = Callable[[Query], Slate]
"""The read line: one query in, one slate out."""

ItemIds = Callable[[Rows], Sequence[str]]
"""Gives the ids of catalogue rows."""

Fold = Callable[[Interactions], None]
"""Folds interactions into whatever the read line reads: counters, catalogue, users."""


class Progress(Protocol):
    """Receives the steps of long work. *done* counts towards *total*; *note* says how it goes."""

    def step(self, task: str, done: float, total: float, note: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class StageLists:
    """The ordered rows of one slate at each stage, whole.

    ``retrieval`` is what retrieval merged, in its order; ``filtered`` the same order without what filtering dropped,
    the fair baseline of the ranker; ``ranked`` all that was ranked, by the ranker's score; ``final`` what was shown.
    """

    retrieval: Rows
    filtered: Rows
    ranked: Rows
    final: Rows

    @staticmethod
    def of(slate: Slate) -> StageLists:
        retrieved = slate.retrieved.row
        filtered = [d.candidates.row for d in slate.dropped if d.component.split("/", 1)[0] == "filtering"]
        unwanted = np.concatenate(filtered) if filtered else np.empty(0, np.int64)
        row = np.concatenate([slate.shown.row, slate.reserve.row])
        score = np.concatenate([slate.shown.score, slate.reserve.score])
        return StageLists(retrieved, retrieved[~np.isin(retrieved, unwanted)], row[best_first(score)], slate.shown.row)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the read line answered to each case. All sequences have one length and order: that of ``cases``.

    ``timing_ms`` holds one value per case and stage, NaN where a slate does not tell. ``degraded`` counts slates by the
    component that failed. ``bundles`` names every bundle that answered. ``offered`` is how many cases there were before
    sampling. ``score`` has the scores of the shown items by position, NaN beyond the list.
    """

    cases: tuple[Case, ...]
    lists: tuple[StageLists, ...]
    size: int
    score: npt.NDArray[np.float32]
    timing_ms: Mapping[str, PerQuery]
    degraded: Mapping[str, int]
    cached: int
    bundles: tuple[str, ...]
    offered: int
    rescored: tuple[Rows, ...] = ()
    """Per case what was ranked, in the order of another scorer; empty where there was none."""

    def stage(self, name: str, k: int) -> Lists:
        """Return the first *k* rows of every case at stage *name*, one of `STAGES`; shape ``(cases, k)``."""
        return padded([getattr(lists, name) for lists in self.lists], k)


def replay(
    cases: Sequence[Case],
    recommend: Recommend,
    ids: ItemIds,
    action_names: Sequence[str],
    *,
    size: int = 10,
    upcoming: Interactions | None = None,
    fold: Fold | None = None,
    at: float = 0.0,
    max_cases: int | None = None,
    rng: np.random.Generator | None = None,
    progress: Progress | None = None,
    rescore: Rescore | None = None,
) -> Replayed:
    """Ask the read line every case's question, in order of time, each in the state of its own instant.

    *fold* is handed, before each case, the part of *upcoming* (the held-out interactions, any order) that lies before
    the case by time, then log offset: what was known then, never the case itself or anything later. Where the log is in
    time order, that is log order. Interactions of unknown time are folded first. Each query carries the case's whole
    history explicitly, an empty one for a cold user, and *at* as its instant where the case's is unknown.

    *rescore* orders each case's ranked candidates a second time, from what the ranker read; the answer is not touched.

    With *max_cases*, that many cases are drawn by *rng* (which is then required) without replacement; everything
    upcoming is folded all the same. Whatever *recommend* raises, is raised.
    Raises InputError for *max_cases* without *rng*.
    """
    asked = _in_time(_sampled(cases, max_cases, rng))
    later = _Upcoming(upcoming, fold)
    queries = _Queries(asked, ids, action_names, size, at, explain=rescore is not None)
    lists, score = [], np.full((len(asked), size), np.nan, np.float32)
    timing: dict[str, PerQuery] = {}
    degraded: Counter[str] = Counter()
    bundles: dict[str, None] = {}
    rescored: list[Rows] = []
    cached = 0
    for number, case in enumerate(asked):
        later.fold_until(case)
        slate = recommend(queries.of(number, case))
        lists.append(StageLists.of(slate))
        if rescore is not None:
            rescored.append(_rescored(slate, rescore))
        _keep_scores(score[number], slate.shown)
        for stage, spent_ms in slate.timing_ms.items():
            timing.setdefault(stage, np.full(len(asked), np.nan))[number] = spent_ms
        degraded.update({reason.split(":", 1)[0] for reason in slate.degraded})
        bundles[slate.bundle] = None
        cached += slate.cached
        if progress is not None:
            progress.step("replay", number + 1, len(asked))
    return Replayed(
        tuple(asked),
        tuple(lists),
        size,
        score,
        timing,
        dict(degraded),
        cached,
        tuple(bundles),
        len(cases),
        tuple(rescored),
    )


def _rescored(slate: Slate, rescore: Rescore) -> Rows:
    if slate.evidence is None or not slate.evidence.row.size:
        return np.empty(0, np.int64)
    if not slate.evidence.features.shape[1]:
        # Ranking failed or had no time: its order is that of retrieval, and there is nothing to score anew.
        return slate.evidence.row
    return slate.evidence.row[best_first(rescore(slate.evidence))]


def _keep_scores(into: npt.NDArray[np.float32], shown: Candidates) -> None:
    into[: len(shown)] = shown.score[: into.size]


def _sampled(cases: Sequence[Case], limit: int | None, rng: np.random.Generator | None) -> Sequence[Case]:
    if limit is None or limit >= len(cases):
        return cases
    if rng is None:
        raise InputError("rng", rng, "a random generator, as max_cases draws from the cases")
    return [cases[number] for number in np.sort(rng.choice(len(cases), limit, replace=False)).tolist()]


def _in_time(cases: Sequence[Case]) -> list[Case]:
    return sorted(cases, key=lambda case: (case.at if np.isfinite(case.at) else -np.inf, case.offset))


class _Upcoming:
    """Interactions still to be folded, oldest first."""

    def __init__(self, upcoming: Interactions | None, fold: Fold | None) -> None:
        held = Interactions.empty() if upcoming is None or fold is None else upcoming
        at = np.where(np.isfinite(held.at), held.at, -np.inf)
        order: Positions = np.lexsort((held.offset, at))
        self._ordered, self._at = held.take(order), at[order]
        self._fold, self._done = fold, 0

    def fold_until(self, case: Case) -> None:
        if self._fold is None:
            return
        instant = case.at if np.isfinite(case.at) else -np.inf
        same = slice(*(int(np.searchsorted(self._at, instant, side=side)) for side in ("left", "right")))
        stop = same.start + int(np.searchsorted(self._ordered.offset[same], case.offset))
        if stop > self._done:
            self._fold(self._ordered.take(slice(self._done, stop)))
            self._done = stop


class _Queries:
    """Makes queries in the customer's ids; every row is translated once, however many histories hold it."""

    def __init__(
        self, cases: Sequence[Case], ids: ItemIds, action_names: Sequence[str], size: int, at: float, *, explain: bool
    ) -> None:
        rows = [case.history.row for case in cases]
        known = np.unique(np.concatenate(rows)) if rows else np.empty(0, np.int64)
        self._id = dict(zip(known.tolist(), ids(known), strict=True))
        self._action_names = tuple(action_names)
        self._size, self._at, self._explain = size, at, explain

    def of(self, number: int, case: Case) -> Query:
        past = case.history
        steps = zip(past.row.tolist(), past.action.tolist(), past.at.tolist(), strict=True)
        return Query(
            request_id=f"case-{number}",
            at=case.at if np.isfinite(case.at) else self._at,
            size=self._size,
            user_id=case.user_id,
            explain=self._explain,
            history=tuple(
                PastAction(item_id=self._id[row], action=self._action_names[action], at=at if at == at else None)
                for row, action, at in steps
            ),
        )

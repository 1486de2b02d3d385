"""Ranks the whole catalogue by a baseline, by the rules of the read line. Full ranking only: no sampled negatives."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from slatewise.domain.ids import NO_ROW, Mask, Rows, Scores
from slatewise.domain.ordering import top
from slatewise.evaluation.baselines.baseline import Baseline, ScoreMatrix
from slatewise.evaluation.cases import Case, with_actions
from slatewise.evaluation.lists import Lists, flat

CELLS = 4_000_000
"""Scores held at once, which bounds the memory."""


def rank_catalogue(
    baseline: Baseline,
    cases: Sequence[Case],
    k: int,
    positive_actions: Collection[int],
    seen_actions: Collection[int],
    allow: Mask | None = None,
    backfill: Scores | None = None,
) -> Lists:
    """Return each case's best *k* rows of the whole catalogue, best first; shape ``(len(cases), k)``.

    A baseline reads the positive part of a case's history. Rows the user has by an action of *seen_actions*, and rows
    not in *allow*, are left out, as the read line leaves them out. Places for which the baseline has no opinion go to
    the best of *backfill* (one score per row; popularity by rights), or stay ``NO_ROW`` without it.
    """
    lists = np.full((len(cases), k), NO_ROW, np.int64)
    step = max(1, CELLS // max(baseline.n_items, 1))
    for start in range(0, len(cases), step):
        batch = cases[start : start + step]
        barred = _barred(batch, seen_actions, baseline.n_items, allow)
        scores = np.where(barred, np.nan, baseline.score([_with(case, positive_actions) for case in batch]))
        block = _best(scores, k)
        short = np.flatnonzero((block < 0).any(1)) if backfill is not None else np.empty(0, np.int64)
        if backfill is not None and short.size:
            block[short] = _filled(block[short], barred[short], backfill, k)
        lists[start : start + step] = block
    return lists


def seen_rows(case: Case, seen_actions: Collection[int]) -> Rows:
    """Return the rows of the case's history by an action of *seen_actions*, repeats included."""
    return _with(case, seen_actions)


def _with(case: Case, actions: Collection[int]) -> Rows:
    return case.history.row[with_actions(case.history.action, actions)]


def _barred(cases: Sequence[Case], seen_actions: Collection[int], n_items: int, allow: Mask | None) -> Mask:
    barred = np.zeros((len(cases), n_items), bool)
    if allow is not None:
        barred[:] = True
        barred[:, : allow.size] = ~allow[:n_items]
    row, query, _ = flat([seen_rows(case, seen_actions) for case in cases])
    inside = (row >= 0) & (row < n_items)
    barred[query[inside], row[inside]] = True
    return barred


def _best(scores: ScoreMatrix, k: int) -> Lists:
    lists = np.full((len(scores), k), NO_ROW, np.int64)
    for query, score in enumerate(scores):
        best = top(score, k)
        best = best[np.isfinite(score[best])]
        lists[query, : best.size] = best
    return lists


def _filled(lists: Lists, barred: Mask, backfill: Scores, k: int) -> Lists:
    scores = np.full(barred.shape, np.nan, np.float32)
    scores[:, : backfill.size] = backfill[: barred.shape[1]]
    scores[barred] = np.nan
    query, place = np.nonzero(lists >= 0)
    scores[query, lists[query, place]] = np.nan
    both = np.concatenate([lists, _best(scores, k)], axis=1)
    listed_first = np.argsort(both < 0, axis=1, kind="stable")
    return np.take_along_axis(both, listed_first, axis=1)[:, :k]

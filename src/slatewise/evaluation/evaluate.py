"""The whole evaluation: replay, baselines, report. Everything from other rooms arrives as an argument."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from slatewise.domain.columns import Interactions
from slatewise.domain.errors import InputError
from slatewise.domain.ids import Rows
from slatewise.domain.settings import Settings
from slatewise.evaluation.baselines.baseline import Baseline
from slatewise.evaluation.baselines.ease import MAX_ITEMS, fit_ease
from slatewise.evaluation.baselines.full_ranking import rank_catalogue, seen_rows
from slatewise.evaluation.baselines.item_knn import fit_item_knn
from slatewise.evaluation.baselines.markov import fit_markov
from slatewise.evaluation.baselines.matrix_factorisation import HistoryScorer, MatrixFactorisation
from slatewise.evaluation.baselines.popularity import fit_popularity
from slatewise.evaluation.baselines.recent_popularity import fit_recent_popularity
from slatewise.evaluation.cases import Case, with_actions
from slatewise.evaluation.decompose import decompose
from slatewise.evaluation.lambdarank import Rescore
from slatewise.evaluation.lists import padded
from slatewise.evaluation.measure import DEPTH, Items
from slatewise.evaluation.probe import Lines, Probe, places
from slatewise.evaluation.replay import Fold, ItemIds, Progress, Recommend, replay
from slatewise.evaluation.report import Report
from slatewise.evaluation.summary import summarise


def fit_baselines(
    training: Interactions,
    n_items: int,
    positive_actions: Collection[int],
    matrix_factorisation: HistoryScorer | None = None,
) -> list[Baseline]:
    """Fit every baseline on the positive part of the *training* interactions.

    *matrix_factorisation* is a model fitted on no more than those (the bundle's, by rights); without it that baseline
    is left out. So is EASE where there are too many items for it.
    """
    positive = training.take(with_actions(training.action, positive_actions))
    fitted: list[Baseline] = [
        fit_popularity(positive, n_items),
        fit_recent_popularity(positive, n_items),
        fit_item_knn(positive, n_items),
        fit_markov(positive, n_items),
    ]
    ease = fit_ease(positive, n_items)
    if ease is not None:
        fitted.append(ease)
    if matrix_factorisation is not None:
        fitted.append(MatrixFactorisation(matrix_factorisation, n_items))
    return fitted


def evaluate(
    cases: Sequence[Case],
    recommend: Recommend,
    ids: ItemIds,
    *,
    settings: Settings,
    training: Interactions,
    items: Items,
    split: str,
    rng: np.random.Generator,
    matrix_factorisation: HistoryScorer | None = None,
    upcoming: Interactions | None = None,
    fold: Fold | None = None,
    size: int = 10,
    max_cases: int | None = None,
    progress: Progress | None = None,
    notes: Sequence[str] = (),
    lambdarank: Rescore | None = None,
    lines: Lines | None = None,
    decompose_cases: int = 0,
) -> Report:
    """Replay *cases* through the read line, rank the baselines on the same cases, and report.

    *lambdarank* orders the ranker's own candidates by trees on the same features, as a further baseline.
    *training* holds what the live bundle was trained on; *upcoming* and *fold* are as in `replay.replay`. The seen
    rule of *settings* holds for the baselines as it does for the read line.

    With *lines* and *decompose_cases* above 0, that many of the replayed cases are drawn (by a generator of its own, so
    the other figures stay as they are) and also asked of the variants that a `Probe` makes.

    Raises InputError without cases, or where *training* holds a case's own interaction: the figures would mean nothing.
    """
    if not cases:
        raise InputError("cases", 0, "at least one held-out interaction to ask for")
    _refuse_leaks(cases, training)
    positive = settings.positive_actions
    popularity = fit_popularity(training.take(with_actions(training.action, positive)), items.n_items).count
    probe = None
    if lines is not None and decompose_cases > 0:
        asked = len(cases) if max_cases is None else min(max_cases, len(cases))
        probe = Probe(recommend, lines, popularity, places(asked, decompose_cases, rng.spawn(1)[0]))
    replayed = replay(
        cases,
        recommend if probe is None else probe.recommend,
        ids,
        settings.action_names,
        size=size,
        upcoming=upcoming,
        fold=fold,
        at=float(np.fmax.reduce(training.at, initial=0.0)),
        max_cases=max_cases,
        rng=rng,
        progress=progress,
        rescore=lambdarank,
    )
    seen = settings.seen_actions if settings.filtering.seen else frozenset()
    fitted = fit_baselines(training, items.n_items, positive, matrix_factorisation)
    lists = {}
    for done, baseline in enumerate(fitted):
        if progress is not None:
            progress.step("baselines", done, len(fitted), baseline.name)
        lists[baseline.name] = rank_catalogue(
            baseline, replayed.cases, DEPTH, positive, seen, items.available, popularity
        )
    if progress is not None:
        progress.step("baselines", len(fitted), len(fitted))
    if replayed.rescored:
        lists["lambdarank"] = padded(replayed.rescored, DEPTH)
    forbidden: list[Rows] = [seen_rows(case, seen) for case in replayed.cases]
    return summarise(
        replayed,
        lists,
        items,
        popularity.astype(np.float64),
        forbidden,
        split,
        rng,
        (*notes, *_notes(items, probe, len(replayed.cases))),
        known_users=np.unique(training.user),
        action_names=settings.action_names,
        decomposition=decompose(replayed, probe, rng.spawn(1)[0]),
    )


def _notes(items: Items, probe: Probe | None, asked: int) -> list[str]:
    notes = []
    if items.n_items > MAX_ITEMS:
        notes.append(
            f"EASE is left out: it inverts a matrix of all items, here {items.n_items:,} by {items.n_items:,}."
        )
    if probe is not None:
        drawn = f"{probe.chosen.size:,} of the {asked:,} cases, drawn at random" if probe.chosen.size < asked else "all"
        notes.append(
            f"Exact search, popularity's candidates and the curve over K were measured on {drawn}, each in the same "
            "instant and state as the slate itself."
        )
        if probe.degraded:
            notes.append(f"Beside the replay, {probe.degraded:,} slates of other lines were degraded.")
    return notes


def _refuse_leaks(cases: Sequence[Case], training: Interactions) -> None:
    own = np.fromiter((case.offset for case in cases), np.int64, len(cases))
    leaked = int(np.isin(own, training.offset).sum())
    if leaked:
        raise InputError("training", f"{leaked} held-out interactions", "interactions that no case asks for")

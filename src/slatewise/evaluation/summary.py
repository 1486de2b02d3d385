"""Turns replayed lists and baselines' lists into a report. Asks nobody anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Mask, Rows
from slatewise.evaluation.bootstrap import Interval, paired_bootstrap
from slatewise.evaluation.cases import Case
from slatewise.evaluation.curves import curves_of
from slatewise.evaluation.decomposition import Decomposition
from slatewise.evaluation.lists import Lists, PerQuery, found
from slatewise.evaluation.measure import DEPTH, Items, Measured, measure
from slatewise.evaluation.replay import STAGES, Replayed
from slatewise.evaluation.report import Group, Report

COLD = 5
"""Histories shorter than this are cold."""

JUDGED = "ndcg@10"
COMPARISONS = tuple(("final", other) for other in ("filtered", "lambdarank", "popularity", "markov", "ease"))


def summarise(
    replayed: Replayed,
    baselines: Mapping[str, Lists],
    items: Items,
    popularity: npt.NDArray[np.float64],
    seen: Sequence[Rows],
    split: str,
    rng: np.random.Generator,
    notes: Sequence[str] = (),
    *,
    known_users: Rows,
    action_names: Sequence[str],
    decomposition: Decomposition,
) -> Report:
    """Measure every stage and baseline on the same cases and compare them.

    *baselines* maps a name to lists in the order of ``replayed.cases``; *popularity* holds training counts per row;
    *seen* the rows each case's user may not be shown again; *known_users* the rows of users that training saw;
    *action_names* the names of the cases' action codes.
    """
    cases = replayed.cases
    targets = [case.targets for case in cases]
    stages = {name: measure(replayed.stage(name, DEPTH), targets, items, popularity) for name in STAGES}
    others = {name: measure(lists, targets, items, popularity) for name, lists in baselines.items()}
    user = np.fromiter((case.user for case in cases), np.int64, len(cases))
    length = np.fromiter((len(case.history) for case in cases), np.int64, len(cases))
    action = np.fromiter((case.action for case in cases), np.int64, len(cases))
    repeated = np.fromiter((np.isin(case.targets, case.history.row).any() for case in cases), bool, len(cases))
    timing = with_total(replayed.timing_ms)
    return Report(
        split=split,
        bundle=", ".join(replayed.bundles),
        users=int(np.unique(user).size),
        queries=len(cases),
        offered=replayed.offered,
        catalogue=items.catalogue,
        stages={name: measured.means() for name, measured in stages.items()},
        baselines={name: measured.means() for name, measured in others.items()},
        standard_errors={
            "stages": {name: measured.errors(user) for name, measured in stages.items()},
            "baselines": {name: measured.errors(user) for name, measured in others.items()},
        },
        cold=_group(length < COLD, user, stages, others),
        warm=_group(length >= COLD, user, stages, others),
        new=_group(~np.isin(user, known_users), user, stages, others),
        repeats=_group(repeated, user, stages, others),
        discoveries=_group(~repeated, user, stages, others),
        by_action={
            action_names[code]: _group(action == code, user, stages, others)
            for code in np.unique(action[action >= 0]).tolist()
        },
        bootstrap=_compared(stages | others, user, rng),
        timing_ms={stage: _percentiles(spent) for stage, spent in timing.items()},
        lost=_lost(replayed, cases),
        seen_targets=_share(found(seen, targets)),
        degraded=replayed.degraded,
        cached=replayed.cached,
        curves=curves_of(replayed, stages, others, length, timing),
        decomposition=decomposition,
        notes=(*notes, *_own_notes(replayed)),
    )


def with_total(timing_ms: Mapping[str, PerQuery]) -> dict[str, PerQuery]:
    """Return the timings with a ``total`` per query: the one given, or the sum of the stages."""
    timing = dict(timing_ms)
    if timing and "total" not in timing:
        timing["total"] = np.nansum(np.stack(list(timing.values())), axis=0)
    return timing


def _group(part: Mask, user: Rows, stages: Mapping[str, Measured], others: Mapping[str, Measured]) -> Group:
    return Group(
        queries=int(part.sum()),
        users=int(np.unique(user[part]).size),
        stages={name: measured.means(part) for name, measured in stages.items()},
        baselines={name: measured.means(part) for name, measured in others.items()},
    )


def _compared(measured: Mapping[str, Measured], user: Rows, rng: np.random.Generator) -> dict[str, Interval]:
    return {
        f"{first}_vs_{second}": paired_bootstrap(
            measured[first].value[JUDGED], measured[second].value[JUDGED], user, rng
        )
        for first, second in COMPARISONS
        if first in measured and second in measured
    }


def _percentiles(spent_ms: PerQuery) -> dict[str, float]:
    known = spent_ms[np.isfinite(spent_ms)]
    p50, p95 = np.quantile(known, [0.5, 0.95]) if known.size else (float("nan"), float("nan"))
    return {"p50": float(p50), "p95": float(p95)}


def _lost(replayed: Replayed, cases: Sequence[Case]) -> dict[str, float]:
    """Say for each target which stage lost it; a target counts once, at the last stage that still had it."""
    targets = [case.targets for case in cases]
    lists = replayed.lists
    final = found([at.final for at in lists], targets)
    ranked = found([at.ranked[: replayed.size] for at in lists], targets)
    filtered = found([at.filtered for at in lists], targets)
    retrieved = found([at.retrieval for at in lists], targets)
    return {
        "retrieval": _share(~retrieved & ~final),
        "filtering": _share(retrieved & ~filtered & ~ranked & ~final),
        "ranking": _share(filtered & ~ranked & ~final),
        "reranking": _share(ranked & ~final),
        "final": _share(final),
    }


def _share(mask: Mask) -> float:
    return float(mask.mean()) if mask.size else float("nan")


def _own_notes(replayed: Replayed) -> list[str]:
    notes = []
    if len(replayed.cases) < replayed.offered:
        notes.append(f"Sampled: {len(replayed.cases)} of {replayed.offered} cases were drawn at random and replayed.")
    if replayed.cached:
        notes.append(f"{replayed.cached} answers came from the result cache; switch it off to time every stage.")
    if len(replayed.bundles) > 1:
        notes.append("More than one bundle answered: the live bundle changed during the replay.")
    if replayed.size < DEPTH:
        notes.append(f"The final slate holds {replayed.size} items, so its recall@{DEPTH} is recall@{replayed.size}.")
    return notes

"""Says a decomposition in steps and sentences, for terminal and page alike. Computes nothing but differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from slatewise.evaluation.decomposition import CurvePoint, Decomposition, IndexCheck, Oracle, OtherCandidates
from slatewise.evaluation.report import Report

CURVE_COLUMNS = ("candidates", "recall", "ndcg@10", "retrieval", "ranking", "total")
UNMOVED = 5e-5
"""Less than the last digit shown."""


@dataclass(frozen=True, slots=True)
class Step:
    """One stage on the way from popularity to the ceiling: NDCG@10 and hit rate@10 after it."""

    name: str
    ndcg: float
    hit_rate: float
    added: float
    """NDCG@10 on top of the step before; NaN for the first."""


def steps(report: Report) -> list[Step]:
    """Return popularity, retrieval's order, the ranker's, the final slate (where it differs), and the perfect ranker's.

    Popularity is left out where it was not measured.
    """
    named = [
        ("popularity", report.baselines.get("popularity")),
        ("order of retrieval", report.stages["filtered"]),
        ("ranker", report.stages["ranked"]),
        ("final slate", report.stages["final"]),
    ]
    oracle = report.decomposition.oracle
    levels = [(name, metrics["ndcg@10"], metrics["hr@10"]) for name, metrics in named if metrics is not None]
    if abs(levels[-1][1] - levels[-2][1]) < UNMOVED:
        levels = [*levels[:-2], ("ranker = final slate", *levels[-1][1:])]
    levels.append(("perfect ranker", oracle.ndcg, oracle.hit_rate))
    before = [math.nan] + [ndcg for _, ndcg, _ in levels]
    return [Step(name, ndcg, hr, ndcg - last) for (name, ndcg, hr), last in zip(levels, before, strict=False)]


def sentences(decomposition: Decomposition) -> list[str]:
    """Return what was found, one thing per sentence."""
    found = [_oracle(decomposition.oracle)]
    if decomposition.popularity_candidates is not None:
        found.append(_popular(decomposition.popularity_candidates))
    if decomposition.index is not None:
        found.append(_index(decomposition.index))
    if decomposition.curve:
        found.append(_curve(decomposition.curve))
    return found


def curve_cells(point: CurvePoint) -> list[str]:
    """Return the cells of one row under `CURVE_COLUMNS`."""
    error = f" ±{point.ndcg_error:.4f}" if math.isfinite(point.ndcg_error) else ""
    times = [f"{point.p50_ms[stage]:.2f} ms" for stage in CURVE_COLUMNS[3:]]
    return [f"{point.candidates:.0f}", f"{point.recall:.4f}", f"{point.ndcg:.4f}{error}", *times]


def _oracle(oracle: Oracle) -> str:
    ceiling = f"A perfect ranker would reach {oracle.ndcg:.4f} NDCG@10 on the ranker's own candidates"
    if not math.isfinite(oracle.ranker_share):
        return f"{ceiling}, which is what the order of retrieval reaches already."
    if oracle.ranker_share < 0:
        return f"{ceiling}; the ranker fell behind the order of retrieval, by {-oracle.ranker_share:.1%} of that way."
    return f"{ceiling}; from the order of retrieval, the ranker went {oracle.ranker_share:.1%} of the way there."


def _popular(other: OtherCandidates) -> str:
    interval = other.difference
    verdict = "clear" if interval.is_clear else "within chance"
    return (
        f"Given the {other.limit} most popular unseen items instead of retrieval's, the same ranker reaches "
        f"{other.ndcg:.4f} NDCG@10 (their own order {other.order_ndcg:.4f}, recall {other.recall:.4f}); over "
        f"retrieval's candidates {other.own_ndcg:.4f} (recall {other.own_recall:.4f}). Retrieval gives "
        f"{interval.difference:+.4f}, {interval.level:.0%} interval {interval.low:+.4f} to {interval.high:+.4f} "
        f"({verdict}), on {other.cases:,} queries."
    )


def _index(check: IndexCheck) -> str:
    recalls = f"recall@100 is {check.recall:.4f} through the index and {check.recall_exact:.4f} with an exact search"
    if not check.searched:
        return f"No query had a user vector, so the index ({check.kind}) was never searched."
    found = (
        f"it finds {check.fidelity:.2%} of the exact top {check.k:.0f} (5th percentile {check.fidelity_p05:.1%}, "
        f"{check.searched:,} searches)"
    )
    if check.is_exact:
        return f"The index is exact: {found}, and {recalls}."
    return f"The index ({check.kind}) is approximate: {found}; {recalls}."


def _curve(curve: Sequence[CurvePoint]) -> str:
    first, last = curve[0], curve[-1]
    return (
        f"From {first.k} to {last.k} retrieved candidates, recall goes from {first.recall:.4f} to {last.recall:.4f}, "
        f"final NDCG@10 from {first.ndcg:.4f} to {last.ndcg:.4f}, and the median slate from "
        f"{first.p50_ms['total']:.1f} to {last.p50_ms['total']:.1f} ms."
    )

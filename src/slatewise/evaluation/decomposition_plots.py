"""Draws the way from popularity to a perfect ranker, and the curve over K. Computes nothing."""

from __future__ import annotations

import math
from typing import Any

from slatewise.evaluation.decomposition_words import steps
from slatewise.evaluation.plots import BASELINE_COLOUR, INK, STAGE_COLOURS, Plot, draw
from slatewise.evaluation.report import Report

CEILING = "#6aa36f"
COLOURS = {
    "popularity": BASELINE_COLOUR,
    "order of retrieval": STAGE_COLOURS["filtered"],
    "ranker": STAGE_COLOURS["ranked"],
    "perfect ranker": CEILING,
}


def decomposition_plots(report: Report) -> list[tuple[str, str, str]] | None:
    """Return ``(title, explanation, svg)`` per plot, or None where matplotlib is not installed."""
    return draw(report, _PLOTS, "part")


def _waterfall(report: Report, figure: Any) -> bool:
    axes = figure.subplots()
    levels = steps(report)[::-1]
    for place, step in enumerate(levels):
        colour = COLOURS.get(step.name, STAGE_COLOURS["final"])
        start = 0.0 if math.isnan(step.added) else step.ndcg - step.added
        if start:
            axes.barh(place, start, color=colour, alpha=0.18, height=0.62, linewidth=0)
        # A step back is hatched: what the stage before had, and this one lost.
        hatch = "////" if step.ndcg < start else None
        axes.barh(
            place, step.ndcg - start, left=start, color=colour, height=0.62, hatch=hatch, edgecolor=INK, linewidth=0
        )
        added = "" if math.isnan(step.added) else f"  ({step.added:+.4f})"
        axes.annotate(
            f"{step.ndcg:.4f}{added}", (max(start, step.ndcg), place), (5, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(range(len(levels)), [step.name for step in levels])
    axes.set_xlabel("NDCG@10, and what each step adds")
    axes.set_xlim(0, 1.3 * max((max(s.ndcg, s.ndcg - s.added) for s in levels if s.added == s.added), default=1.0))
    axes.grid(visible=False, axis="y")
    return True


def _over_k(report: Report, figure: Any) -> bool:
    curve = report.decomposition.curve
    if not curve:
        return False
    quality, time = figure.subplots(2, 1, sharex=True)
    k = [point.k for point in curve]
    recall = quality.twinx()
    recall.grid(visible=False)
    errors = [0.0 if math.isnan(point.ndcg_error) else point.ndcg_error for point in curve]
    style: dict[str, Any] = {"marker": "o", "markersize": 4}
    first = quality.errorbar(
        k, [p.ndcg for p in curve], yerr=errors, color=STAGE_COLOURS["final"], label="final NDCG@10 (left)", **style
    )
    (second,) = recall.plot(
        k, [p.recall for p in curve], "--", color=STAGE_COLOURS["filtered"], label="recall (right)", **style
    )
    quality.set_ylim(0, 1.25 * max(max(p.ndcg for p in curve) + max(errors), 1e-6))
    recall.set_ylim(0, 1.25 * max(max(p.recall for p in curve), 1e-6))
    quality.set_ylabel("NDCG@10")
    recall.set_ylabel("recall")
    recall.spines["right"].set_visible(True)
    quality.legend(handles=[first, second], loc="lower right")
    for stage, colour in (
        ("total", STAGE_COLOURS["final"]),
        ("ranking", STAGE_COLOURS["ranked"]),
        ("retrieval", STAGE_COLOURS["filtered"]),
    ):
        time.plot(k, [point.p50_ms[stage] for point in curve], color=colour, label=stage, **style)
    time.set_ylim(0, 1.35 * max(max(point.p50_ms["total"] for point in curve), 1e-6))
    time.set_xscale("log")
    time.set_xticks(k, [str(each) for each in k])
    time.minorticks_off()
    time.set_xlabel("K, candidates from the vector source")
    time.set_ylabel("median ms")
    time.legend(loc="upper left", ncols=3)
    return True


_PLOTS: tuple[Plot[Report], ...] = (
    (
        "From popularity to a perfect ranker",
        "What is strong in colour is what the step adds. The last bar is the best order of the very same candidates; "
        "what is missing there to 1, retrieval or a filter lost.",
        _waterfall,
        2.7,
    ),
    (
        "More candidates, more time",
        "Quality above and time below, for K candidates from the vector source.",
        _over_k,
        4.4,
    ),
)

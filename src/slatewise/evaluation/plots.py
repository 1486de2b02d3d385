"""Draws a report's plots as SVG text that takes its colours from the page. Knows matplotlib, which it imports late."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from slatewise.evaluation.report import Report

INK, GRID = "#010203", "#040506"
STAGE_COLOURS = {"retrieval": "#8fb3d9", "filtered": "#5b8fc7", "ranked": "#d9a441", "final": "#d1603d"}
BASELINE_COLOUR = "#9a9a9a"
VARIABLES = {INK: "var(--ink)", GRID: "var(--grid)"}
"""Stand-in colours, replaced by the page's variables, so that one drawing serves light and dark."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "savefig.transparent": True,
}


T = TypeVar("T")

Plot: TypeAlias = tuple[str, str, Callable[[T, Any], bool], float]
"""Title, explanation, what draws it onto a figure (False: nothing to draw), and its height in inches."""


def plots(report: Report) -> list[tuple[str, str, str]] | None:
    """Return ``(title, explanation, svg)`` per plot, or None where matplotlib is not installed."""
    return draw(report, _PLOTS, "plot")


def draw(report: T, chosen: Sequence[Plot[T]], salt: str) -> list[tuple[str, str, str]] | None:
    """Return what `plots` does for other plots, of anything; their elements' ids begin with *salt*."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        return None
    drawn = []
    with matplotlib.rc_context(STYLE):
        for number, (title, explanation, onto, height) in enumerate(chosen):
            figure = Figure(figsize=(7.2, height), layout="constrained")
            if onto(report, figure):
                drawn.append((title, explanation, _svg(figure, f"{salt}{number}", matplotlib.rc_context)))
    return drawn


def _svg(figure: Any, salt: str, rc_context: Any) -> str:
    out = io.StringIO()
    with rc_context({"svg.hashsalt": salt}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Element ids must be distinct within the page that holds all drawings.
    svg = re.sub(r'\bid="', f'id="{salt}-', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{salt}-", svg)
    svg = re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1), count=1
    )
    for stand_in, variable in VARIABLES.items():
        svg = svg.replace(stand_in, variable)
    return svg


def _colour(name: str) -> str:
    return STAGE_COLOURS.get(name, BASELINE_COLOUR)


def _bars(report: Report, figure: Any) -> bool:
    named = [("stages", n, m) for n, m in report.stages.items()] + [
        ("baselines", n, m) for n, m in report.baselines.items()
    ]
    named.reverse()
    axes = figure.subplots()
    values = [metrics["ndcg@10"] for _, _, metrics in named]
    errors = [report.standard_errors.get(kind, {}).get(name, {}).get("ndcg@10", 0.0) for kind, name, _ in named]
    axes.barh(
        range(len(named)), values, xerr=errors, color=[_colour(name) for _, name, _ in named], ecolor=INK, height=0.7
    )
    for place, (value, error) in enumerate(zip(values, errors, strict=True)):
        axes.annotate(
            f"{value:.4f}",
            (value + (error if error == error else 0.0), place),
            (4, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(range(len(named)), [name.replace("_", " ") for _, name, _ in named])
    axes.set_xlabel("NDCG@10, with standard error")
    axes.margins(x=0.12)
    axes.grid(visible=False, axis="y")
    return True


def _recall(report: Report, figure: Any) -> bool:
    axes = figure.subplots()
    for name, curve in report.curves.recall.items():
        axes.plot(report.curves.recall_at, curve, marker="o", markersize=4, color=_colour(name), label=name)
    axes.set_xscale("log")
    axes.set_xticks(report.curves.recall_at, [str(k) for k in report.curves.recall_at])
    axes.minorticks_off()
    axes.set_xlabel("K")
    axes.set_ylabel("recall@K")
    axes.set_ylim(bottom=0)
    axes.legend()
    return True


def _by_history(report: Report, figure: Any) -> bool:
    curves = report.curves
    axes = figure.subplots()
    place = range(len(curves.history_labels))
    for name in ("retrieval", "filtered", "final", "popularity", "markov"):
        if name in curves.ndcg_by_history:
            dashed = "-" if name in STAGE_COLOURS else ("--" if name == "popularity" else ":")
            axes.plot(
                place, curves.ndcg_by_history[name], dashed, marker="o", markersize=4, color=_colour(name), label=name
            )
    labels = [f"{label}\n{count:,}" for label, count in zip(curves.history_labels, curves.history_queries, strict=True)]
    axes.set_xticks(place, labels)
    axes.set_xlabel("interactions before the question, and how many questions")
    axes.set_ylabel("NDCG@10")
    axes.set_ylim(bottom=0)
    axes.legend()
    return bool(labels)


def _positions(report: Report, figure: Any) -> bool:
    axes = figure.subplots()
    for name in ("filtered", "ranked"):
        counts = report.curves.positions.get(name, ())
        axes.step(range(1, len(counts) + 1), counts, where="mid", color=_colour(name), label=name)
    axes.set_xlabel("place of the wanted item (1 is the top)")
    axes.set_ylabel("questions")
    axes.set_ylim(bottom=0)
    axes.legend()
    return True


def _scores(report: Report, figure: Any) -> bool:
    low, middle, high = (report.curves.score_by_position.get(key, ()) for key in ("p10", "p50", "p90"))
    place = range(1, len(middle) + 1)
    axes = figure.subplots()
    axes.fill_between(
        place, low, high, color=STAGE_COLOURS["final"], alpha=0.25, linewidth=0, label="10th to 90th percentile"
    )
    axes.plot(place, middle, marker="o", markersize=4, color=STAGE_COLOURS["final"], label="median")
    axes.set_xticks(list(place))
    axes.set_xlabel("place in the slate (1 is the top)")
    axes.set_ylabel("score")
    axes.legend()
    return any(value == value for value in middle)


def _latency(report: Report, figure: Any) -> bool:
    stages = list(report.curves.latency_ms.items())
    if not stages:
        return False
    columns = min(3, len(stages))
    grid = figure.subplots(-(-len(stages) // columns), columns, squeeze=False).ravel()
    for axes, (stage, histogram) in zip(grid, stages, strict=False):
        edges, counts = histogram["edges"], histogram["counts"]
        axes.bar(edges[:-1], counts, width=edges[1] - edges[0], align="edge", color=STAGE_COLOURS["filtered"])
        axes.set_title(stage, fontsize=10)
        axes.set_xlabel("ms")
    for spare in grid[len(stages) :]:
        spare.set_visible(False)
    return True


_PLOTS: tuple[Plot[Report], ...] = (
    (
        "Quality of each stage",
        "Every bar answers the same questions; grey bars are baselines that rank the whole catalogue.",
        _bars,
        3.8,
    ),
    (
        "How deep retrieval has to look",
        "Share of the wanted items among the first K. What retrieval misses, no ranker can bring back.",
        _recall,
        3.4,
    ),
    ("Quality by length of history", "NDCG@10 for people we know little or much of.", _by_history, 3.4),
    (
        "Where the wanted item stands",
        "The ranker should move mass to the left of the order that retrieval gave.",
        _positions,
        3.2,
    ),
    ("Scores by place", "Scores of what was shown. Pins and diversity may break the fall.", _scores, 3.0),
    ("Time spent per stage", "Histogram over all questions; the last bar holds the slowest 1 %.", _latency, 4.2),
)

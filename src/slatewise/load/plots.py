"""Draws a result: latency over time, and its distribution by percentile. Knows matplotlib, which it imports late."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from slatewise.evaluation.plots import INK, STAGE_COLOURS, STYLE, Plot, draw
from slatewise.load.plan import KINDS
from slatewise.load.result import Result
from slatewise.load.samples import Floats

COLOURS = dict(zip(KINDS, (*list(STAGE_COLOURS.values())[1:], "#6aa36f"), strict=True))
DOTS = 4000
"""Drawn at most; a plot of more is slow to look at and shows nothing else."""
SPANS = 120
PER_SPAN = 30
"""Requests for each span of time at least, on average: a percentile of three is noise."""
PAPER: dict[str, Any] = {"savefig.transparent": False, "grid.color": "#dcdad5", "axes.edgecolor": "#8a8a8a"}
"""What pages take from their style sheet, a picture has to bring along."""
SHOWN = (50.0, 90.0, 99.0, 99.9, 99.99, 99.999)


def load_plots(result: Result) -> list[tuple[str, str, str]] | None:
    """Return ``(title, explanation, svg)`` per plot, or None where matplotlib is not installed."""
    return draw(result, _PLOTS, "load")


def write_png(result: Result, path: Path) -> None:
    """Write both plots as one picture. Raises ImportError without matplotlib."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE | PAPER):
        figure = Figure(figsize=(9.0, 8.0), layout="constrained", dpi=120)
        parts: Any = figure.subfigures(len(_PLOTS), 1)
        for part, (title, _, onto, _) in zip(parts, _PLOTS, strict=True):
            part.suptitle(title)
            onto(result, part)
        figure.savefig(path, format="png")


def by_time(scheduled_s: Floats, latency_s: Floats, seconds: float) -> tuple[Floats, Floats]:
    """Return the middles of equal spans of time; and per span median, 99th percentile and maximum, shape ``(3, n)``.

    Spans without requests are left out.
    """
    count = int(np.clip(len(scheduled_s) // PER_SPAN, 1, SPANS))
    span = np.minimum((scheduled_s / seconds * count).astype(np.int64), count - 1)
    present = np.unique(span)
    figures = [np.percentile(latency_s[span == each], (50, 99, 100)) for each in present]
    return (present + 0.5) * seconds / count, np.array(figures).reshape(-1, 3).T


def _over_time(result: Result, figure: Any) -> bool:
    samples = result.samples
    if not samples.is_timed.any():
        return False
    axes = figure.subplots()
    for kind in result.kinds:
        of_kind = samples.of(kind)
        when, latency = of_kind.scheduled_s[of_kind.is_timed], of_kind.latency_s[of_kind.is_timed] * 1000.0
        every = max(1, len(when) * len(result.kinds) // DOTS)
        axes.plot(when[::every], latency[::every], ".", ms=2.5, alpha=0.4, color=COLOURS[kind], label=kind)
    timed = samples.is_timed
    middle, lines = by_time(samples.scheduled_s[timed], samples.latency_s[timed], result.seconds)
    for values, style, label in zip(
        lines * 1000.0, ("-", "--", ":"), ("median", "99th percentile", "max"), strict=True
    ):
        axes.plot(middle, values, style, color=INK, linewidth=1, label=label)
    failed = ~timed
    if failed.any():
        when = samples.scheduled_s[failed][:: max(1, int(failed.sum()) // DOTS)]
        # Along the lower edge: they have no latency to stand at.
        foot = {"transform": axes.get_xaxis_transform(), "color": "#c0392b", "label": "rejected or failed"}
        axes.plot(when, np.full(len(when), 0.02), "|", **foot)
    _milliseconds(axes)
    axes.set_xlabel("s, when the request was due")
    axes.legend(ncols=4, markerscale=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return True


def _by_percentile(result: Result, figure: Any) -> bool:
    axes = figure.subplots()
    most = 0
    for kind in result.kinds:
        of_kind = result.samples.of(kind)
        latency = np.sort(of_kind.latency_s[of_kind.is_timed]) * 1000.0
        if len(latency):
            # From the right: one request, two, three and so on above; each ten times fewer is one step further.
            axes.plot(len(latency) / np.arange(len(latency), 0, -1), latency, color=COLOURS[kind], label=kind)
        most = max(most, len(latency))
    ticks = [100.0 / (100.0 - p) for p in SHOWN if 100.0 / (100.0 - p) <= most]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{p:g}" for p in SHOWN[: len(ticks)]])
    axes.minorticks_off()
    _milliseconds(axes)
    axes.set_xlabel("percentile")
    axes.legend()
    return most > 0


def _milliseconds(axes: Any) -> None:
    axes.set_yscale("log")
    axes.set_ylabel("ms")
    # The usual labels, powers of ten, are formulas, which the house style leaves off.
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")


_PLOTS: tuple[Plot[Result], ...] = (
    (
        "Latency over time",
        "Each dot is a request, where it was due. A stall of the server is a slope: requests due later waited less.",
        _over_time,
        4.0,
    ),
    ("Latency by percentile", "Each step to the right leaves a tenth of the requests above.", _by_percentile, 3.6),
)

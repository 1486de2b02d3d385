"""The part of a report's page that says where quality is lost. All text is escaped."""

from __future__ import annotations

import math

from slatewise.evaluation.decomposition_plots import decomposition_plots
from slatewise.evaluation.decomposition_words import CURVE_COLUMNS, curve_cells, sentences, steps
from slatewise.evaluation.markup import bullets, drawings, grid
from slatewise.evaluation.report import Report
from slatewise.evaluation.table import figure


def decomposition_section(report: Report) -> str:
    """Return the section, with plots where matplotlib is installed."""
    drawn = decomposition_plots(report)
    return (
        "<h2>Where the quality is lost</h2>"
        + bullets(sentences(report.decomposition))
        + _steps(report)
        + (_curve(report) if report.decomposition.curve else "")
        + ("" if drawn is None else drawings(drawn))
    )


def _steps(report: Report) -> str:
    rows = []
    for step in steps(report):
        added = f"{step.added:+.4f}" if math.isfinite(step.added) else ""
        css = "final" if "final" in step.name else ("baseline" if step.name == "popularity" else "stage")
        rows.append((css, step.name, [figure("ndcg@10", step.ndcg), added, figure("hr@10", step.hit_rate)]))
    return grid(["", "ndcg@10", "adds", "hr@10"], rows)


def _curve(report: Report) -> str:
    rows = [("stage", f"K = {point.k}", curve_cells(point)) for point in report.decomposition.curve]
    head = (
        f"<p>The same {report.decomposition.cases:,} questions with K candidates from the vector source, beside what "
        "the other sources offer, and nothing cut before ranking; medians of one slate.</p>"
    )
    return head + grid(["", *CURVE_COLUMNS], rows)

"""Shows on a terminal where quality is lost, and for whom. Computes nothing but the layout."""

from __future__ import annotations

import math

from rich.table import Table
from rich.text import Text

from slatewise.evaluation.decomposition_words import CURVE_COLUMNS, curve_cells, sentences, steps
from slatewise.evaluation.report import Group, Metrics, Report
from slatewise.evaluation.table import figure


def decomposition_tables(report: Report) -> list[Table]:
    """Return the way from popularity to a perfect ranker, the curve over K where it was measured, and the groups."""
    tables = [_steps(report)]
    if report.decomposition.curve:
        tables.append(_curve(report))
    return [*tables, _groups(report)]


def _steps(report: Report) -> Table:
    caption = Text("\n".join(sentences(report.decomposition)))
    shown = Table(title=Text("Where the quality is lost"), caption=caption, caption_justify="left", min_width=60)
    shown.add_column("", no_wrap=True)
    for column in ("ndcg@10", "adds", "hr@10"):
        shown.add_column(column, justify="right", no_wrap=True)
    for step in steps(report):
        added = f"{step.added:+.4f}" if math.isfinite(step.added) else ""
        shown.add_row(Text(step.name), figure("ndcg@10", step.ndcg), added, figure("hr@10", step.hit_rate))
    return shown


def _curve(report: Report) -> Table:
    caption = f"{report.decomposition.cases:,} queries; medians of one slate, asked one after another"
    shown = Table(title=Text("More candidates from the vector source"), caption=Text(caption))
    shown.add_column("K", justify="right", no_wrap=True)
    for column in CURVE_COLUMNS:
        shown.add_column(column, justify="right", no_wrap=True)
    for point in report.decomposition.curve:
        shown.add_row(str(point.k), *map(Text, curve_cells(point)))
    return shown


def _groups(report: Report) -> Table:
    shown = Table(
        title=Text("For whom, and what was wanted: NDCG@10 by group"),
        caption=Text("New users: not in training, whatever they did since"),
    )
    shown.add_column("", no_wrap=True)
    for column in ("queries", "retrieval", "final", "popularity"):
        shown.add_column(column, justify="right", no_wrap=True)
    shown.add_column("best baseline", justify="right")
    groups = [("history < 5", report.cold), ("history 5+", report.warm), ("new users", report.new)]
    groups += [("acted on before", report.repeats), ("new to the user", report.discoveries)]
    for name, group in (*groups, *report.by_action.items()):
        shown.add_row(Text(name), f"{group.queries:,}", *map(Text, _cells(group)))
    return shown


def _cells(group: Group) -> list[str]:
    def ndcg(metrics: Metrics | None) -> str:
        return figure("ndcg@10", math.nan if metrics is None else metrics["ndcg@10"])

    known = {n: m for n, m in group.baselines.items() if math.isfinite(m["ndcg@10"])}
    best = max(known, key=lambda name: known[name]["ndcg@10"], default=None)
    named = "" if best is None else f"{best.replace('_', ' ')} {ndcg(known[best])}"
    stages = group.stages
    return [ndcg(stages.get("filtered")), ndcg(stages.get("final")), ndcg(known.get("popularity")), named]

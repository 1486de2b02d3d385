"""Shows a report on a terminal. Computes nothing but the layout."""

from __future__ import annotations

import math

from rich.table import Table
from rich.text import Text

from slatewise.evaluation.report import Report

COLUMNS = ("ndcg@10", "hr@10", "recall@10", "recall@100", "mrr@10", "coverage@10", "novelty@10", "diversity@10")


NARROW = ("ndcg@10", "hr@10", "recall@100", "mrr@10")
"""What fits a terminal of eighty columns; the page and the JSON have all."""


def table(report: Report) -> Table:
    """Return one row per stage and baseline, NDCG@10 with its standard error, for a rich console."""
    asked = f"{report.queries:,} queries of {report.users:,} users"
    drawn = f", drawn from {report.offered:,}" if report.offered > report.queries else ""
    shown = Table(
        title=Text(f"Offline quality · split {report.split} · bundle {report.bundle}"),
        caption=Text(_caption(report, asked + drawn)),
    )
    shown.add_column("", no_wrap=True)
    for column in NARROW:
        shown.add_column(column, justify="right", no_wrap=True)
    for kind, rows in (("stages", report.stages), ("baselines", report.baselines)):
        for name, metrics in rows.items():
            error = report.standard_errors.get(kind, {}).get(name, {}).get(NARROW[0], math.nan)
            figures = [figure(column, metrics.get(column, math.nan)) for column in NARROW]
            if math.isfinite(error):
                figures[0] += f" ±{error:.4f}"
            style = "bold" if name == "final" else ("dim" if kind == "baselines" else "")
            shown.add_row(Text(name.replace("_", " ")), *(Text(cell) for cell in figures), style=style)
        shown.add_section()
    return shown


def figure(metric: str, value: float) -> str:
    """Return a metric's value as people read it: bits to one place, shares to four, a dash for not measured."""
    if not math.isfinite(value):
        return "–"  # noqa: RUF001 - an en dash is what is meant
    return f"{value:.2f}" if metric.startswith(("novelty", "categories")) else f"{value:.4f}"


def sentence(comparison: str, report: Report) -> str:
    """Return one bootstrap comparison in words, with its interval and whether zero lies outside it."""
    interval = report.bootstrap[comparison]
    first, _, second = comparison.partition("_vs_")
    verdict = "clear" if interval.is_clear else "within chance"
    return (
        f"{first} minus {second}: {interval.difference:+.4f} NDCG@10, "
        f"{interval.level:.0%} interval {interval.low:+.4f} to {interval.high:+.4f} ({verdict})"
    )


def _caption(report: Report, asked: str) -> str:
    spent = report.timing_ms.get("total")
    timing = (
        [f"one slate takes {spent['p50']:.1f} ms (median), {spent['p95']:.1f} ms (95th percentile)"] if spent else []
    )
    degraded = [f"degraded: {name} in {count} slates" for name, count in report.degraded.items()]
    compared = [sentence(comparison, report) for comparison in report.bootstrap]
    return "\n".join([asked, *compared, *timing, *degraded, *report.notes])

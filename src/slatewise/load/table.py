"""Shows a result on a terminal. Computes nothing but the layout."""

from __future__ import annotations

import math

from rich.table import Table
from rich.text import Text

from slatewise.load.result import Figures, Result

EVERYTHING = "all"
ANSWERS = ("sent", "ok", "503", "errors", "ok per s", "cached", "degraded")


def tables(result: Result) -> tuple[Table, Table]:
    """Return what was answered and how long it took, one row per kind, each fit for eighty columns."""
    rows = [(kind, result.figures(kind)) for kind in result.kinds]
    rows.append((EVERYTHING, result.figures()))
    answers = _table(
        f"Answers · {result.rate:g} requests per second ({result.arrivals}) for {result.seconds:.1f} s",
        ANSWERS,
        [(kind, answer_cells(figures)) for kind, figures in rows],
    )
    latencies = _table(
        "Latency in ms, from the time a request was due to its answer",
        tuple(result.figures().latency_ms),
        [(kind, [milliseconds(value) for value in figures.latency_ms.values()]) for kind, figures in rows],
    )
    return answers, latencies


def sentences(result: Result) -> list[str]:
    """Return what the tables have no room for, warnings first."""
    figures = result.figures()
    told = warnings(result)
    told += [f"errors: {count:,} {status}" for status, count in figures.errors.items()]
    told += [f"degraded: {share:.1%} of slates, {reason}" for reason, share in figures.degraded_by.items()]
    lag = result.lag_ms
    told.append(
        f"generator: {result.cpu_share:.0%} of a core, {milliseconds(lag['p99'])} ms late at the 99th percentile "
        f"({milliseconds(lag['max'])} at most), {result.connections} of {result.max_connections} connections"
    )
    return told


def warnings(result: Result) -> list[str]:
    """Return why the figures may not be what they seem."""
    told = []
    if result.generator_limited:
        told.append(
            f"THE GENERATOR ITSELF WAS THE LIMIT: {result.why}. The latencies are not the server's alone; "
            "lower --rate, give it a core of its own (--cpu), or share the load among several."
        )
    if result.connection_limited:
        told.append(
            f"ALL {result.max_connections} CONNECTIONS WERE BUSY: {result.waited:.1%} of the requests waited for one, "
            "so the server saw fewer at once than were due. It is slower than asked, or --max-connections is too low."
        )
    if result.ended_early:
        told.append(f"ended early, after {result.seconds:.1f} s that count")
    return told


def milliseconds(value: float) -> str:
    """Return a duration as people read it, a dash for none."""
    if math.isnan(value):
        return "–"  # noqa: RUF001 - an en dash is what is meant
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:,.0f}"


def answer_cells(figures: Figures) -> list[str]:
    """Return what `ANSWERS` names."""

    def share(value: float) -> str:
        return "" if math.isnan(value) else f"{value:.1%}"

    return [
        f"{figures.sent:,}",
        f"{figures.ok:,}",
        f"{figures.rejected:,}",
        f"{sum(figures.errors.values()):,}",
        "" if math.isnan(figures.per_s) else f"{figures.per_s:,.1f}",
        share(figures.cached),
        share(figures.degraded),
    ]


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, list[str]]]) -> Table:
    shown = Table(title=Text(title), title_justify="left")
    shown.add_column("", no_wrap=True)
    for column in columns:
        shown.add_column(column, justify="right", no_wrap=True)
    for kind, cells in rows:
        shown.add_row(Text(kind), *map(Text, cells), style="bold" if kind == EVERYTHING else "")
    return shown

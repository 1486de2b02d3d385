"""Writes a report as one HTML page that fetches nothing. All text is escaped; plots need matplotlib, tables do not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from pathlib import Path

from slatewise.evaluation.decomposition_html import decomposition_section
from slatewise.evaluation.markup import bullets, document, drawings, grid, milliseconds, percent, times
from slatewise.evaluation.plots import plots
from slatewise.evaluation.report import Group, Metrics, Report
from slatewise.evaluation.table import COLUMNS, figure, sentence

NO_PLOTS = "Plots need matplotlib: install the extra <code>slatewise[report]</code> and evaluate again."


def write_html(report: Report, path: Path) -> None:
    """Write `page` of *report* to *path*, replacing what is there; its folder must exist."""
    path.write_text(page(report), encoding="utf-8")


def page(report: Report) -> str:
    """Return the report as one self-contained HTML document, light or dark as the reader prefers."""
    body = "\n".join(
        (
            f"<h1>Offline quality</h1>\n<p class='soft'>{_subtitle(report)}</p>",
            _tiles(report),
            "<h2>Stages and baselines</h2>" + _quality(report.stages, report.baselines, report),
            "<h2>How sure</h2>" + bullets(sentence(comparison, report) for comparison in report.bootstrap),
            "<h2>Where the wanted items were lost</h2>" + _lost(report),
            decomposition_section(report),
            _plots(report),
            "<h2>New and known users</h2>" + _group("history shorter than five", report.cold),
            _group("history of five or more", report.warm),
            _group("users without any interaction in training, whatever they did since", report.new),
            "<h2>What was wanted</h2>" + _group("an item the user had acted on before", report.repeats),
            _group("an item new to the user", report.discoveries),
            *(_group(f"action {name}", group) for name, group in report.by_action.items()),
            "<h2>Time</h2>" + _timing(report),
            "<h2>Notes</h2>" + bullets([*_degraded(report), *report.notes]),
        )
    )
    return document(f"Offline quality · {report.bundle}", body)


def _subtitle(report: Report) -> str:
    return (
        f"Split <code>{escape(report.split)}</code> · bundle <code>{escape(report.bundle)}</code> · "
        f"{report.queries:,} questions of {report.users:,} users over {report.catalogue:,} items, "
        "each asked of the real read line and ranked against the whole catalogue."
    )


def _tiles(report: Report) -> str:
    final, filtered = report.stages["final"], report.stages["filtered"]
    popularity = report.baselines.get("popularity", {})
    tiles = [
        (figure("ndcg@10", final["ndcg@10"]), "NDCG@10 of the final slate"),
        (figure("hr@10", final["hr@10"]), "hit rate@10 of the final slate"),
        (figure("recall@100", filtered["recall@100"]), "recall@100 before ranking"),
        (times(final["ndcg@10"], popularity.get("ndcg@10", math.nan)), "NDCG@10 against popularity"),
        (times(final["ndcg@10"], filtered["ndcg@10"]), "NDCG@10 against retrieval alone"),
        (milliseconds(report.timing_ms.get("total", {}).get("p95", math.nan)), "for one slate, 95th percentile"),
    ]
    return (
        "<div class='tiles'>"
        + "".join(f"<div class='tile'><b>{b}</b><span>{s}</span></div>" for b, s in tiles)
        + "</div>"
    )


def _quality(stages: Mapping[str, Metrics], baselines: Mapping[str, Metrics], report: Report | None = None) -> str:
    measured = [("stages", name, metrics) for name, metrics in stages.items()]
    measured += [("baselines", name, metrics) for name, metrics in baselines.items()]
    errors = report.standard_errors if report else {}
    rows = []
    for kind, name, metrics in measured:
        cells = [figure(column, metrics.get(column, math.nan)) for column in COLUMNS]
        error = errors.get(kind, {}).get(name, {})
        for place, column in enumerate(COLUMNS):
            if column.startswith(("ndcg", "hr")) and math.isfinite(error.get(column, math.nan)):
                cells[place] += f" <small>±{error[column]:.4f}</small>"
        css = "final" if name == "final" else ("baseline" if kind == "baselines" else "stage")
        rows.append((css, name.replace("_", " "), cells))
    return grid(["", *COLUMNS], rows)


def _group(title: str, group: Group) -> str:
    head = f"<p>{escape(title[:1].upper() + title[1:])}: {group.queries:,} questions of {group.users:,} users.</p>"
    return head + (_quality(group.stages, group.baselines) if group.queries else "")


def _lost(report: Report) -> str:
    rows = [
        ("final" if stage == "final" else "stage", "shown" if stage == "final" else stage, [percent(share)])
        for stage, share in report.lost.items()
    ]
    forbidden = percent(report.seen_targets)
    return (
        "<p>Each wanted item counts once, at the stage that let it go; "
        f"{forbidden} of them no rule would show, as the user has them already.</p>" + grid(["", "share"], rows)
    )


def _timing(report: Report) -> str:
    rows = [
        ("stage", stage, [milliseconds(spent["p50"]), milliseconds(spent["p95"])])
        for stage, spent in report.timing_ms.items()
    ]
    return grid(["", "median", "95th percentile"], rows)


def _plots(report: Report) -> str:
    drawn = plots(report)
    return f"<h2>Plots</h2><p>{NO_PLOTS}</p>" if drawn is None else drawings(drawn)


def _degraded(report: Report) -> list[str]:
    if not report.degraded:
        return ["No slate was degraded."]
    return [f"Degraded: {component} in {count:,} slates." for component, count in report.degraded.items()]

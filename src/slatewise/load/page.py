"""Writes a result as one HTML page that fetches nothing. All text is escaped."""

from __future__ import annotations

from html import escape
from pathlib import Path

from slatewise.evaluation.markup import bullets, document, drawings, grid
from slatewise.load.plots import load_plots
from slatewise.load.result import Result
from slatewise.load.table import ANSWERS, EVERYTHING, answer_cells, milliseconds, sentences


def write_page(result: Result, path: Path) -> None:
    """Write `page` of *result* to *path*, replacing what is there; its folder must exist."""
    path.write_text(page(result), encoding="utf-8")


def page(result: Result) -> str:
    """Return the result as one self-contained HTML document. The plots need matplotlib."""
    rows = [(kind, result.figures(kind)) for kind in result.kinds] + [(EVERYTHING, result.figures())]
    css = {EVERYTHING: "final"}
    answers = [(css.get(kind, "stage"), kind, [escape(cell) for cell in answer_cells(f)]) for kind, f in rows]
    times = [(css.get(kind, "stage"), kind, [milliseconds(v) for v in f.latency_ms.values()]) for kind, f in rows]
    return document(
        f"Load · {result.name}",
        "\n".join(
            (
                f"<h1>Load</h1><p class='soft'>{_subtitle(result)}</p>",
                bullets(sentences(result)),
                "<h2>Answers</h2>" + grid(["", *ANSWERS], answers),
                "<h2>Latency in ms, from the time a request was due</h2>" + grid(["", *rows[-1][1].latency_ms], times),
                drawings(load_plots(result) or ()),
            )
        ),
    )


def _subtitle(result: Result) -> str:
    return (
        f"{result.rate:g} requests per second ({escape(result.arrivals)}) for {result.seconds:.1f} s to "
        f"<code>{escape(result.url)}</code>, run <code>{escape(result.name)}</code>"
    )

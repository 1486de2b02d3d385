"""What HTML pages are made of: the page around, tables, lists, drawings, figures in words. Knows no report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from slatewise.evaluation.style import CSS


def document(title: str, body: str) -> str:
    """Return a whole page that fetches nothing, light or dark as the reader prefers; *body* is finished HTML."""
    return (
        "<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def times(value: float, reference: float) -> str:
    """Return how many times *reference* the value is; a dash where there is nothing to compare with."""
    return f"{value / reference:.2f} ×" if reference > 0 else "–"  # noqa: RUF001 - a times sign, an en dash


def milliseconds(value: float) -> str:
    """Return a duration with its unit; a dash for NaN."""
    return f"{value:.1f} ms" if math.isfinite(value) else "–"  # noqa: RUF001 - an en dash


def percent(share: float) -> str:
    """Return a share of 1 as a percentage; a dash for NaN."""
    return f"{share:.1%}" if math.isfinite(share) else "–"  # noqa: RUF001 - an en dash


def grid(head: Sequence[str], rows: Iterable[tuple[str, str, Sequence[str]]]) -> str:
    """Return a table; *rows* are ``(class, name, cells of finished HTML)``."""
    top = "".join(f"<th scope='col'>{escape(column)}</th>" for column in head)
    lines = "".join(
        f"<tr class='{kind}'><th scope='row'>{escape(name)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        for kind, name, cells in rows
    )
    return f"<div class='scroll'><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>"


def bullets(sentences: Iterable[str]) -> str:
    """Return a list of sentences."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in sentences) + "</ul>"


def drawings(drawn: Sequence[tuple[str, str, str]]) -> str:
    """Return plots, each ``(title, explanation, svg)``, side by side where there is room."""
    return (
        "<div class='plots'>"
        + "".join(
            f"<section><h2>{escape(title)}</h2><p class='soft'>{escape(text)}</p><figure>{svg}</figure></section>"
            for title, text, svg in drawn
        )
        + "</div>"
    )

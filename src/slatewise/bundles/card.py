"""The model card: a bundle's facts as Markdown for a reader. Knows the customary facts and lays out any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

TITLES = {
    "data": "Data",
    "holdout": "Holdout",
    "metrics": "Metrics",
    "baselines": "Baselines",
    "index": "Index",
    "training": "Training",
    "limits": "Limits",
    "settings": "Settings",
}
"""The customary facts and the order they are told in; others come between ``training`` and ``limits``."""
_LAST = ("limits", "settings")


def render_card(facts: Mapping[str, object]) -> str:
    """Return the card as Markdown, one section per fact; empty facts are left out.

    ``id`` and ``created_at`` (seconds since the epoch) make the heading. A mapping of mappings becomes a table with one
    line per outer name, other mappings a table of two columns, sequences a list. None and NaN read as a dash.
    """
    lines = [f"# Bundle {_text(facts['id'])}" if facts.get("id") else "# Model card", ""]
    created_at = facts.get("created_at")
    if isinstance(created_at, (int, float)):
        lines += [f"Built {datetime.fromtimestamp(created_at, UTC):%Y-%m-%d %H:%M:%S} UTC.", ""]
    others = [name for name in facts if name not in TITLES and name not in ("id", "created_at")]
    first = [name for name in TITLES if name not in _LAST]
    for name in [*first, *others, *_LAST]:
        fact = facts.get(name)
        if fact is None or fact in ({}, (), [], ""):
            continue
        lines += [f"## {TITLES.get(name) or name.replace('_', ' ').capitalize()}", "", *_section(fact), ""]
    return "\n".join(lines)


def _section(fact: object) -> list[str]:
    if isinstance(fact, Mapping):
        if all(isinstance(inner, Mapping) for inner in fact.values()):
            return _grid(fact)
        return _pairs(fact)
    if isinstance(fact, Sequence) and not isinstance(fact, str):
        return [f"- {_text(part)}" for part in fact]
    return [_text(fact)]


def _grid(fact: Mapping[object, Mapping[object, object]]) -> list[str]:
    """Lay out name -> {column: value}; for one name, or where columns hardly overlap, a flat table reads better."""
    columns = list(dict.fromkeys(column for inner in fact.values() for column in inner))
    cells = sum(len(inner) for inner in fact.values())
    if len(fact) == 1 or cells * 3 < 2 * len(columns) * len(fact):
        return _pairs(fact)
    lines = [_row(["", *columns]), _row(["---", *("---:" for _ in columns)])]
    return lines + [_row([name, *(inner.get(column) for column in columns)]) for name, inner in fact.items()]


def _pairs(fact: Mapping[object, object]) -> list[str]:
    flat = _flat(fact)
    return [_row(["", "value"]), _row(["---", "---:"]), *(_row([name, value]) for name, value in flat)]


def _flat(fact: Mapping[object, object], prefix: str = "") -> list[tuple[str, object]]:
    lines: list[tuple[str, object]] = []
    for name, value in fact.items():
        path = f"{prefix}.{name}" if prefix else str(name)
        lines += _flat(value, path) if isinstance(value, Mapping) and value else [(path, value)]
    return lines


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(_text(cell) for cell in cells) + " |"


def _text(value: object) -> str:
    if value is None or value != value or value == {}:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(part) for part in value) or "-"
    return str(value).replace("|", "\\|").replace("\n", " ")

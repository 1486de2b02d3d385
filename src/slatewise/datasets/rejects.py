"""Rows that were refused while reading, and the file that shows them. Knows no reasons of its own."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not read: its file, its 1-based line there, why, and what it said.

    In Parquet files and frames, which have no lines, ``line`` is the 1-based row.
    """

    file: str
    line: int
    reason: str
    text: str


def write_rejects(path: Path, rejects: Iterable[Reject]) -> None:
    """Write the rejects as CSV with the columns file, line, reason, text; an existing file is replaced."""
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(("file", "line", "reason", "text"))
        rows.writerows((r.file, r.line, r.reason, r.text) for r in rejects)

"""Rows that could not be taken: where they stand, why, and a file of them. Knows nothing of what rows mean."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slatewise.domain.errors import InputError

MAX_TEXT = 200


@dataclass(frozen=True, slots=True)
class Reject:
    """One refused row: its file, its 1-based line (row where the file has no lines), why, and how it began."""

    file: str
    line: int
    reason: str
    text: str


def shortened(text: str) -> str:
    """Return the text, cut to `MAX_TEXT` characters."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 3] + "..."


def refuse_if_strict(rejects: Sequence[Reject], strict: bool) -> None:
    """Raise InputError for the first bad line of a file, where asked to be strict."""
    if strict and rejects:
        first = min(rejects, key=lambda reject: reject.line)
        raise InputError(f"{first.file}:{first.line}", first.text, f"no bad rows (strict): {first.reason}")


def write_rejects(file: Path, rejects: Iterable[Reject]) -> None:
    """Write the rejects to a CSV file with the columns file, line, reason, text. Raises InputError."""
    try:
        with file.open("w", newline="", encoding="utf-8", errors="backslashreplace") as out:
            writer = csv.writer(out)
            writer.writerow(("file", "line", "reason", "text"))
            writer.writerows((r.file, r.line, r.reason, r.text) for r in rejects)
    except OSError as error:
        raise InputError("rejects file", str(file), f"a file that can be written: {error.strerror}") from error

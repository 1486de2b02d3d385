"""Faults that the stories of `trust_model.py` have to find, put into the real code of one process.

python benchmarks/trust_model_twins.py TWIN --home H --port P [--set …]      # serve with it
"""

import sqlite3
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np

from slatewise.cli.main import app
from slatewise.filtering.available import AvailableFilter
from slatewise.serving.question import Questions
from slatewise.serving.repeats import Repeats
from slatewise.storage import schema, writer

Parts = list[AbstractContextManager[Any]]


def _kept_deletion() -> Parts:
    """A kept slate is taken for as new as the catalogue, and not filtered again: it shows what was deleted."""
    edition, begin = Questions.edition, Repeats.__init__

    def blind(self: Questions, line: bytes, resolution: Any) -> bytes:
        return edition(self, line, resolution)[:-8]

    def unmoved(self: Repeats, *args: Any, **named: Any) -> None:
        begin(self, *args, **named)
        self._catalogue = SimpleNamespace(version=0)  # type: ignore[assignment]

    return [
        patch.object(Questions, "edition", blind),
        patch.object(Repeats, "__init__", unmoved),
        patch.object(AvailableFilter, "keep", lambda self, query, found: np.ones(len(found), bool)),
    ]


def _forgotten() -> Parts:
    """The newest event is lost whenever the log is opened."""

    def forget(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM log WHERE offset = (SELECT max(offset) FROM log WHERE kind = ?)", (schema.INTERACTION,))

    return [patch.object(schema, "prepare", _after(schema.prepare, forget))]


def _twice() -> Parts:
    """A retry counts again."""

    def unguarded(db: sqlite3.Connection) -> None:
        db.execute("DROP INDEX IF EXISTS log_event_id")

    return [
        patch.object(writer, "without_known", lambda db, events: events),
        patch.object(schema, "prepare", _after(schema.prepare, unguarded)),
    ]


def _after(prepare: Callable[..., Any], then: Callable[[sqlite3.Connection], None]) -> Callable[..., Any]:
    def broken(db: sqlite3.Connection, path: Path) -> Any:
        found = prepare(db, path)
        then(db)
        return found

    return broken


TWINS: dict[str, Callable[[], Parts]] = {"kept_deletion": _kept_deletion, "forgotten": _forgotten, "twice": _twice}


def main() -> None:
    with ExitStack() as broken:
        for part in TWINS[sys.argv[1]]():
            broken.enter_context(part)
        sys.argv[1:2] = ["serve"]
        app()


if __name__ == "__main__":
    main()

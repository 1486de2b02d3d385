"""What the verbs print with: progress bars on stderr, results on stdout."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False, soft_wrap=True)
"""How it goes: progress, headlines, where files went."""

results = Console(highlight=False, soft_wrap=True)
"""What was asked for: tables and answers, on stdout."""


def print_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    print(msgspec.json.encode(value, enc_hook=_plain, order="sorted").decode())  # noqa: T201  the one way to stdout


def _plain(value: Any) -> Any:
    return str(value)


class Bars:
    """A `training.progress.Progress` as bars on the terminal, one per task. Plain lines where stderr is no terminal."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("[dim]{task.fields[note]}"),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._is_live = console.is_terminal

    def step(self, task: str, done: float, total: float, note: str = "") -> None:
        """Show how far a task is; a task is done when *done* reaches *total*."""
        if task not in self._tasks:
            self._tasks[task] = self._progress.add_task(task, total=total, note=note)
            if not self._is_live:
                console.print(f"{task} ...")
        self._progress.update(self._tasks[task], completed=done, total=total, note=note)
        if not self._is_live and done >= total:
            console.print(f"{task} done" + (f": {note}" if note else ""))
        if done >= total and task in self._tasks:
            self._progress.stop_task(self._tasks[task])

    def __enter__(self) -> Bars:
        if self._is_live:
            self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._is_live:
            self._progress.stop()

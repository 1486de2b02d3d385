"""How training tells what it does, to whoever shows it. Knows no terminal."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the steps of long work. *done* counts towards *total*; *note* says how it goes."""

    def step(self, task: str, done: float, total: float, note: str = "") -> None: ...


class Silent:
    """Tells nobody."""

    def step(self, task: str, done: float, total: float, note: str = "") -> None:
        """Do nothing."""

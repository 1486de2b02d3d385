"""The log of promotions and what a rollback goes back to. Knows ids only, not folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log: *bundle* became live, by ``promote`` or ``rollback``."""

    bundle: str
    at: float
    how: str

    def line(self) -> bytes:
        """Return the promotion as one JSON line."""
        return msgspec.json.encode(self)


def read_promotions(path: Path) -> list[Promotion]:
    """Return all promotions, oldest first; a line that a crash cut off is left out. Empty where there is no log."""
    if not path.exists():
        return []
    promotions = []
    for line in path.read_bytes().splitlines():
        try:
            promotions.append(msgspec.json.decode(line, type=Promotion))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
    return promotions


def standing(promotions: Iterable[Promotion], live: str | None) -> list[str]:
    """Return the ids that led to *live*, oldest first, *live* last: a rollback takes back what it went over.

    The pointer is the truth and the log may lack its last line: a crash can fall between the two.
    """
    stack: list[str] = []
    for promotion in promotions:
        if promotion.how == "rollback" and promotion.bundle in stack:
            _unwind(stack, promotion.bundle)
        elif stack[-1:] != [promotion.bundle]:
            stack.append(promotion.bundle)
    if live is not None:
        if live in stack:
            _unwind(stack, live)
        else:
            stack.append(live)
    return stack


def _unwind(stack: list[str], bundle: str) -> None:
    while stack[-1] != bundle:
        stack.pop()

"""Ids of answers: drawn ahead, for a call of the system's random source costs more than all else about an id."""

from __future__ import annotations

import secrets

BYTES = 12
AHEAD = 128
"""Ids drawn at once."""


class RequestIds:
    """Gives ids that nobody can guess, each once: 24 hex digits. Thread-safe."""

    def __init__(self) -> None:
        self._drawn: list[str] = []

    def __call__(self) -> str:
        """Return a fresh id."""
        while True:
            try:
                # One step for the interpreter: no two threads get the same.
                return self._drawn.pop()
            except IndexError:
                text = secrets.token_hex(BYTES * AHEAD)
                self._drawn.extend(text[at : at + 2 * BYTES] for at in range(0, len(text), 2 * BYTES))

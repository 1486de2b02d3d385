"""What rows are read under: actions, the latest believable time, strictness. Knows no file."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

MAX_AHEAD_S = 86_400.0
"""How far the clock behind the rows may run ahead of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRules:
    """``now`` is in seconds since the epoch; None where the files themselves say what the time is."""

    default_action: str
    actions: Collection[str]
    now: float | None = None
    strict: bool = False

    @property
    def latest(self) -> float:
        """The latest time a row may have."""
        return math.inf if self.now is None else self.now + MAX_AHEAD_S

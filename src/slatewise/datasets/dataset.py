"""What a reader hands over: events ready to be appended, and the rows it had to refuse. Knows no file format."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from slatewise.datasets.rejects import Reject
from slatewise.domain.events import Impression, Interaction, ItemChange, UserChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Items, users and what happened between them.

    ``interactions`` and ``impressions`` are in order of time; interactions without a time come first. Where no row has
    a time the interactions are shuffled, so that nobody can learn from the order of a file. ``rows_read`` counts
    every row of every file, good or bad; ``ignored`` names columns of the interactions and of the impressions that were
    not used.
    """

    items: list[ItemChange] = field(default_factory=list)
    users: list[UserChange] = field(default_factory=list)
    interactions: list[Interaction] = field(default_factory=list)
    impressions: list[Impression] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    rows_read: int = 0
    ignored: tuple[str, ...] = ()

    @property
    def is_ordered(self) -> bool:
        """Whether any interaction carries a time."""
        # Those without a time come first, so the last one tells.
        return bool(self.interactions) and self.interactions[-1].at is not None

    def rejected(self) -> Counter[str]:
        """Count the refused rows by reason."""
        return Counter(reject.reason for reject in self.rejects)

    def summary(self) -> str:
        """Say in one line what was read."""
        parts = [f"{len(self.interactions):,} interactions" + ("" if self.is_ordered else " (unordered)")]
        parts += [
            f"{len(events):,} {name}"
            for name, events in (("items", self.items), ("users", self.users), ("impressions", self.impressions))
            if events
        ]
        text = ", ".join(parts)
        if self.rejects:
            text += f"; {len(self.rejects):,} of {self.rows_read:,} rows refused"
        if self.ignored:
            text += f"; columns not used: {', '.join(self.ignored)}"
        return text

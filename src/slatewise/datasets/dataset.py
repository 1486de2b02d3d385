"""What a reader hands over: events in time order and the rows it refused. Knows no file format."""

from __future__ import annotations

from dataclasses import dataclass, field

from slatewise.datasets.rejects import Reject
from slatewise.domain.events import Impression, Interaction, ItemChange, UserChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One import, as events.

    ``interactions`` and ``impressions`` are in order of time, equal times in file order. Interactions without a time
    come first; where none has one, they are shuffled with a fixed seed, so that the order of the file, which means
    nothing, cannot be learned from. ``ignored`` names columns that were not used.
    """

    items: list[ItemChange] = field(default_factory=list)
    users: list[UserChange] = field(default_factory=list)
    interactions: list[Interaction] = field(default_factory=list)
    impressions: list[Impression] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    ignored: tuple[str, ...] = ()
    rows_read: int = 0

    @property
    def is_ordered(self) -> bool:
        """Whether any interaction has a time."""
        return any(interaction.at is not None for interaction in reversed(self.interactions))

    def summary(self) -> str:
        """Return the counts in one line."""
        counts = [
            f"{len(self.interactions):,} interactions{'' if self.is_ordered or not self.interactions else ' (no times)'}",
            f"{len(self.items):,} items",
            f"{len(self.users):,} users",
        ]
        if self.impressions:
            counts.append(f"{len(self.impressions):,} impressions")
        if self.rejects:
            counts.append(f"{len(self.rejects):,} rows refused")
        if self.ignored:
            counts.append("ignored columns: " + ", ".join(self.ignored))
        return ", ".join(counts)

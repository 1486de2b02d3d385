"""How large and how hard a simulated shop is."""

from __future__ import annotations

from dataclasses import dataclass, fields

from slatewise.domain.errors import InputError

DAY_S = 86_400.0
ALLOWED = {
    "n_items": (30, None), "n_users": (1, None), "days": (1, None), "n_categories": (2, 400),
    "sessions_per_user": (1, 200), "slates_per_session": (1, 20), "slate_size": (1, 30), "dim": (4, 256),
    "position_bias": (0, 10), "drift": (0, 10), "popularity_exponent": (0.5, 10), "arriving_share": (0, 0.9),
    "view_share": (0, 1), "taste_weight": (0, 20), "interest_weight": (0, 20), "seed": (0, None), "end": (0, None),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopSettings:
    """The size and the laws of a shop. Raises InputError for values that make no shop."""

    n_items: int = 2_000
    n_users: int = 1_000
    days: float = 30.0
    end: float = 1_767_225_600.0
    """When the past ends, seconds since the epoch: 2026-01-01. Give the present where live users are to go on from it:
    tastes drift and items age in between."""
    seed: int = 0
    n_categories: int = 24
    sessions_per_user: float = 14.0
    """Mean visits of a user over all days; a few users come far more often."""
    slates_per_session: float = 4.0
    """Mean slates looked at in one visit."""
    slate_size: int = 10
    dim: int = 16
    """Width of the hidden factors."""
    position_bias: float = 0.7
    """The position p, counted from 0, is looked at with probability ``(1 + p) ** -position_bias``."""
    taste_weight: float = 5.0
    """How much a lasting taste decides."""
    interest_weight: float = 6.0
    """How much the last clicks of a visit decide."""
    drift: float = 0.6
    """How far tastes wander over all days: 0 not at all, 1 to another taste altogether."""
    popularity_exponent: float = 1.5
    """Tail of the power law of popularity: smaller is steeper."""
    arriving_share: float = 0.15
    """Share of the items that arrive during the period."""
    view_share: float = 0.5
    """Probability that a user, after a slate, finds an item on their own (a view)."""

    def __post_init__(self) -> None:
        for one in fields(self):
            least, most = ALLOWED[one.name]
            value = getattr(self, one.name)
            if not value >= (least or 0) or (most is not None and value > most):
                raise InputError(one.name, value, f"{least} to {most}" if most is not None else f"at least {least}")

        if self.n_items * (1.0 - self.arriving_share) < self.slate_size + 1:
            raise InputError("n_items", self.n_items, "enough items from the first day on to fill a slate")

    @property
    def start(self) -> float:
        """When the past begins, seconds since the epoch."""
        return self.end - self.days * DAY_S

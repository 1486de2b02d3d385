"""How the shop filled its slates in the past: popular items, items like the last one, and some chosen blindly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slatewise.datasets.shop.choice import NOTHING
from slatewise.datasets.shop.world import Floats, Items
from slatewise.domain.ids import Rows

POPULAR, ALIKE, RANDOM = 0.3, 0.45, 0.25


class LoggingPolicy:
    """Draws slates without repeats, item by item with these shares. Never sees the truth about a user."""

    def __init__(self, items: Items) -> None:
        popularity = np.exp(items.appeal)
        within = popularity / np.bincount(items.leaf, popularity)[items.leaf]
        self._items = items
        self._everywhere = (POPULAR * popularity / popularity.sum() + RANDOM / len(items)).astype(np.float32)
        self._within = (ALIKE * within).astype(np.float32)

    def slates(self, last: Rows, at: Floats, size: int, rng: np.random.Generator) -> Rows:
        """Return a slate of item rows per visit, ``(m, size)``, given the visit's last item (`NOTHING` at first)."""
        leaf = np.where(last == NOTHING, NOTHING, self._items.leaf[last])
        weight = self._everywhere + self._within * (leaf[:, None] == self._items.leaf)
        # Exponential races: the first to finish are a weighted sample without replacement (Efraimidis & Spirakis 2006).
        finish: npt.NDArray[np.float32] = rng.standard_exponential(weight.shape, np.float32)
        finish /= weight
        finish[self._items.created_at > at[:, None]] = np.inf
        first = np.argpartition(finish, size - 1, axis=1)[:, :size]
        order = np.argsort(np.take_along_axis(finish, first, 1), axis=1)
        slates: Rows = np.take_along_axis(first, order, 1)
        return slates

"""What training learns from: interactions as columns and attributes as bags, nothing of any store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from slatewise.domain.columns import Interactions
from slatewise.domain.events import AttributeValue, Impression
from slatewise.domain.history import History
from slatewise.domain.holdout import history_order
from slatewise.domain.ids import Rows
from slatewise.ports.models import Bag
from slatewise.ports.stores import Catalogue


@dataclass(frozen=True, slots=True)
class TrainingInput:
    """All that the LEARN line reads. Columns are by catalogue row and user row.

    ``impressions`` holds ``(offset, user row, impression, shown rows)`` in log order; ``reactions`` holds
    ``(item row, action index)`` by request; ``items`` describes every catalogue row, ``users`` the described user rows.
    """

    interactions: Interactions
    impressions: Sequence[tuple[int, int, Impression, Rows]]
    reactions: Mapping[str, Sequence[tuple[int, int]]]
    items: Sequence[Mapping[str, AttributeValue]]
    users: Mapping[int, Mapping[str, AttributeValue]]
    catalogue: Catalogue
    trained_to: int
    """The log offset up to which all of this was read."""


@dataclass(frozen=True, slots=True)
class Material:
    """Interactions a model may see, and the attributes of everything.

    ``items`` has one bag row per catalogue row, ``users`` one per user row up to the highest that has attributes.
    """

    interactions: Interactions
    n_items: int
    items: Bag
    item_tokens: int
    users: Bag
    user_tokens: int
    actions: tuple[str, ...]
    positive: frozenset[int]

    def user_bags(self, users: np.ndarray) -> Bag:
        """Return the bags of these user rows, empty ones for users without attributes."""
        known = (users >= 0) & (users < len(self.users.token))
        at = np.where(known, users, 0)
        return Bag(
            np.where(known[:, None], self.users.token[at], 0),
            np.where(known[:, None], self.users.weight[at], 0.0).astype(np.float32),
        )


@dataclass(frozen=True, slots=True)
class Histories:
    """Each user's interactions in a row: ``history(i)`` is that of ``user[i]``, oldest first."""

    user: np.ndarray
    start: np.ndarray
    ordered: Interactions

    @staticmethod
    def of(interactions: Interactions) -> Histories:
        ordered = interactions.take(history_order(interactions))
        user, start = np.unique(ordered.user, return_index=True)
        return Histories(user, np.append(start, len(ordered)), ordered)

    def __len__(self) -> int:
        return int(self.user.size)

    def __iter__(self) -> Iterator[History]:
        return (self.history(i) for i in range(len(self)))

    def history(self, i: int) -> History:
        part = slice(self.start[i], self.start[i + 1])
        return History(self.ordered.item[part], self.ordered.action[part], self.ordered.at[part])

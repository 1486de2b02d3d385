"""What training learns from: interactions as columns and attributes as bags, nothing of any store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from slatewise.domain.columns import Interactions
from slatewise.domain.events import AttributeValue, Impression
from slatewise.domain.history import History
from slatewise.domain.holdout import history_order
from slatewise.domain.ids import Rows
from slatewise.ports.models import Bag
from slatewise.ports.stores import Catalogue

LoggedSlate = tuple[int, int, Impression, Rows]
"""Log offset, user row, the impression, and the rows that it showed."""
Reactions = Mapping[str, Sequence[tuple[int, int]]]
"""``(item row, action index)`` by request."""


@dataclass(frozen=True, slots=True)
class TrainingInput:
    """All that the LEARN line reads. Columns are by catalogue row and user row.

    ``impressions`` are in log order; ``items`` describes every catalogue row, ``users`` the described user rows.
    """

    interactions: Interactions
    impressions: Sequence[LoggedSlate]
    reactions: Reactions
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


class HistoryChunks(Protocol):
    """Everybody's interactions, handed out as whole histories, some at a time: what tower training goes over."""

    @property
    def size(self) -> int:
        """The number of interactions."""
        ...

    @property
    def is_ordered(self) -> bool:
        """Whether most interactions carry a time: otherwise their order means nothing."""
        ...

    def counts(self, n_items: int) -> np.ndarray:
        """Return how many interactions each item has, shape ``(n_items,)``."""
        ...

    def chunks(self, rng: np.random.Generator) -> Iterator[Histories]:
        """Yield every history once; no user is in two chunks. *rng* decides the order of the chunks."""
        ...


@dataclass(frozen=True, slots=True)
class Histories:
    """Each user's interactions in a row: ``history(i)`` is that of ``user[i]``, oldest first. One chunk, in memory."""

    user: np.ndarray
    start: np.ndarray
    ordered: Interactions

    @staticmethod
    def of(interactions: Interactions) -> Histories:
        return Histories.of_ordered(interactions.take(history_order(interactions)))

    @staticmethod
    def of_ordered(ordered: Interactions) -> Histories:
        """Return the histories in interactions that are in `history_order` already."""
        start = np.flatnonzero(np.diff(ordered.user, prepend=-1))
        return Histories(ordered.user[start], np.append(start, len(ordered)), ordered)

    @property
    def size(self) -> int:
        return len(self.ordered)

    @property
    def is_ordered(self) -> bool:
        return self.ordered.is_ordered

    def counts(self, n_items: int) -> np.ndarray:
        return np.bincount(self.ordered.item, minlength=n_items)

    def chunks(self, rng: np.random.Generator) -> Iterator[Histories]:
        yield self

    def __len__(self) -> int:
        return int(self.user.size)

    def __iter__(self) -> Iterator[History]:
        return (self.history(i) for i in range(len(self)))

    def history(self, i: int) -> History:
        part = slice(self.start[i], self.start[i + 1])
        return History(self.ordered.item[part], self.ordered.action[part], self.ordered.at[part])

"""A small shop in memory: catalogue, users, counters and index that follow one log. Knows nothing of stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slatewise.domain.columns import Interactions
from slatewise.domain.errors import InputError
from slatewise.domain.events import AttributeValue, ItemChange, UserChange
from slatewise.domain.history import History
from slatewise.domain.ids import Mask, Rows, Scores, Vectors
from slatewise.domain.ordering import top
from slatewise.domain.query import ANONYMOUS, Condition, UserState
from slatewise.domain.settings import Settings

DAY_S = 86_400.0
NOW = 1_000 * DAY_S
DIM = 4


class FakeClock:
    """Moves only when told to, or by *tick_ms* at each look at ``elapsed_ms``."""

    def __init__(self, tick_ms: float = 0.0) -> None:
        self.ms = 0.0
        self.tick_ms = tick_ms

    def now(self) -> float:
        return NOW + self.ms / 1000.0

    def elapsed_ms(self) -> float:
        self.ms += self.tick_ms
        return self.ms


class MemoryCatalogue:
    """A `Catalogue` in dictionaries; ``meeting`` knows equality only."""

    def __init__(self) -> None:
        self.version = 0
        self._rows: dict[str, int] = {}
        self._items: list[ItemChange | None] = []

    def put(self, item: ItemChange, version: int) -> int:
        row = self._rows.setdefault(item.item_id, len(self._items))
        if row == len(self._items):
            self._items.append(None)
        self._items[row] = item
        self.version = version
        return row

    def remove(self, item_id: str, version: int) -> None:
        self._items[self._rows[item_id]] = None
        self.version = version

    def __len__(self) -> int:
        return len(self._items)

    def row(self, item_id: str) -> int:
        return self._rows.get(item_id, -1)

    def rows(self, item_ids: Sequence[str]) -> Rows:
        return np.array([self.row(i) for i in item_ids], np.int64)

    def ids(self, rows: Rows) -> list[str]:
        names = list(self._rows)
        return [names[row] for row in rows.tolist()]

    @property
    def available(self) -> Mask:
        return np.array([item is not None and item.available for item in self._items], np.bool_)

    @property
    def created_at(self) -> npt.NDArray[np.float64]:
        known = (item.created_at if item else None for item in self._items)
        return np.array([np.nan if at is None else at for at in known], np.float64)

    def item(self, row: int) -> ItemChange | None:
        return self._items[row]

    def exists(self, row: int) -> bool:
        return self._items[row] is not None

    def codes(self, attribute: str) -> npt.NDArray[np.int64]:
        names = [item.categories[0] if item and item.categories else "" for item in self._items]
        order = sorted(set(names) - {""})
        return np.array([order.index(name) if name else -1 for name in names], np.int64)

    def meeting(self, where: Mapping[str, Condition]) -> Mask:
        if set(where) - {"categories"}:
            raise InputError("where", sorted(where), "categories")
        return np.array([item is not None and where["categories"] in item.categories for item in self._items], np.bool_)


class MemoryUsers:
    """A `UserStore` in a dictionary."""

    def __init__(self) -> None:
        self.states: dict[str, UserState] = {}

    def state(self, user_id: str) -> UserState:
        return self.states.get(user_id, ANONYMOUS)

    def glance(self, user_id: str) -> int | None:
        return self.state(user_id).version

    def change(self, user_id: str) -> UserChange | None:
        return None

    def knows(self, user_id: str) -> bool:
        return user_id in self.states

    def attributes(self) -> Mapping[int, UserChange]:
        return {}


class MatrixIndex:
    """A `VectorIndex` that multiplies everything: for stage tests only."""

    kind = "exact"
    is_exact = True
    dim = DIM

    def __init__(self) -> None:
        self._vectors: dict[int, npt.NDArray[np.float32]] = {}

    def __len__(self) -> int:
        return len(self._vectors)

    def search(self, query: Vectors, k: int, allow: Mask | None = None) -> tuple[Rows, Scores]:
        rows = np.array(list(self._vectors), np.int64)
        if allow is not None:
            rows = rows[rows < allow.size]
            rows = rows[allow[rows]]
        if not rows.size:
            return rows, np.empty(0, np.float32)
        score = np.stack([self._vectors[row] for row in rows.tolist()]) @ query
        best = top(score, k)
        return rows[best], score[best]

    def upsert(self, rows: Rows, vectors: Vectors) -> None:
        self._vectors.update(zip(rows.tolist(), vectors, strict=True))

    def remove(self, rows: Rows) -> None:
        for row in rows.tolist():
            self._vectors.pop(row, None)

    def save(self, folder: Path) -> None:
        rows = np.array(list(self._vectors), np.int64)
        np.savez(folder / "vectors.npz", rows=rows, vectors=np.array(list(self._vectors.values()), np.float32))


class MemoryState:
    """A `FeatureState` that counts rows, and takes the rows around an item for what follows it."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def fold(self, interactions: Interactions) -> None:
        for row in interactions.item.tolist():
            self.count(row)

    def count(self, row: int) -> None:
        self.counts[row] = self.counts.get(row, 0) + 1

    def next_items(self, last: Rows, limit: int) -> tuple[Rows, Scores]:
        around = np.unique(np.concatenate([last + 1, last + 2, np.maximum(last - 1, 0)]))[:limit]
        return around, np.linspace(1.0, 0.5, around.size, dtype=np.float32)

    def trending(self, at: float, limit: int) -> tuple[Rows, Scores]:
        rows = sorted(self.counts, key=lambda row: (-self.counts[row], row))[:limit]
        return np.array(rows, np.int64), np.array([self.counts[row] for row in rows], np.float32)


def item_vectors(rows: Rows) -> Vectors:
    """Return unit vectors that depend on the row alone, shape ``(n, DIM)``."""
    angle = rows[:, None] * np.array([0.7, 1.3, 2.1, 3.7]) + np.array([0.1, 0.5, 0.9, 1.7])
    raw = np.sin(angle)
    unit: Vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return unit


class SmallShop:
    """Catalogue, users, counters and index that follow one log, all in memory.

    ``offset`` moves last, once every view holds the change, so `folded` never promises what cannot be read yet.
    """

    def __init__(self, items: int = 40, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.offset = 0
        self.catalogue = MemoryCatalogue()
        self.users = MemoryUsers()
        self.state = MemoryState()
        self.index = MatrixIndex()
        for i in range(items):
            self.put(f"i{i}", categories=(f"c{i % 4}",), created_at=NOW - (items - i) * 10 * DAY_S)

    def folded(self) -> int:
        return self.offset

    def put(
        self, item_id: str, *, available: bool = True, categories: tuple[str, ...] = (), created_at: float | None = None
    ) -> None:
        item = ItemChange(at=NOW, item_id=item_id, categories=categories, available=available, created_at=created_at)
        rows = np.array([self.catalogue.put(item, self.offset + 1)])
        self.index.upsert(rows, item_vectors(rows))
        self.offset += 1

    def remove(self, item_id: str) -> None:
        self.catalogue.remove(item_id, self.offset + 1)
        self.index.remove(self.catalogue.rows([item_id]))
        self.offset += 1

    def record(self, user_id: str, item_id: str, action: str = "interaction") -> None:
        row, index = self.catalogue.row(item_id), self.settings.action_names.index(action)
        before = self.users.states.get(user_id, replace(ANONYMOUS, row=len(self.users.states)))
        is_seen = index in self.settings.seen_actions
        self.users.states[user_id] = replace(
            before,
            version=self.offset + 1,
            history=before.history.extended(row, index, NOW),
            seen=np.unique(np.append(before.seen, row)) if is_seen else before.seen,
        )
        self.state.count(row)
        self.offset += 1

    def encode_user(
        self, history: History, attributes: Mapping[str, AttributeValue], context: Mapping[str, AttributeValue]
    ) -> Vectors | None:
        """Return the normalised mean of the history's item vectors; for no history, a vector of its own."""
        mean = item_vectors(history.row).mean(0) if len(history) else np.ones(DIM)
        return (mean / max(float(np.linalg.norm(mean)), 1e-6)).astype(np.float32)[None, :]

"""The items as of one version, as columns; and the draft a writer turns into the next version. Knows no log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slatewise.domain.events import ItemChange
from slatewise.domain.ids import Mask

BLOCK = 1024
BUILT_IN = ("categories", "item_id", "title")


class Blocks:
    """Described items by row. Immutable: a change copies the blocks it touches and shares the others."""

    def __init__(self, blocks: tuple[Mapping[int, ItemChange], ...] = ()) -> None:
        self._blocks = blocks

    def get(self, row: int) -> ItemChange | None:
        at = row // BLOCK
        return self._blocks[at].get(row) if at < len(self._blocks) else None

    def changed(self, changes: Mapping[int, ItemChange | None]) -> Blocks:
        """Return the items with these in their place; None forgets one."""
        if not changes:
            return self
        blocks: list[Any] = list(self._blocks)
        blocks.extend({} for _ in range(len(blocks), max(changes) // BLOCK + 1))
        copied: set[int] = set()
        for row, item in changes.items():
            at = row // BLOCK
            if at not in copied:
                copied.add(at)
                blocks[at] = dict(blocks[at])
            if item is None:
                blocks[at].pop(row, None)
            else:
                blocks[at][row] = item
        return Blocks(tuple(blocks))


class Column:
    """A growing array. Cells beyond what was published may be written in place, those before only after `detach`."""

    def __init__(self, dtype: npt.DTypeLike, fill: object) -> None:
        self._fill = fill
        self.cells: npt.NDArray[Any] = np.full(BLOCK, fill, dtype)

    def reserve(self, size: int) -> None:
        """Make room; new cells hold the fill value."""
        if size > self.cells.size:
            grown = np.full(max(size, 2 * self.cells.size), self._fill, self.cells.dtype)
            grown[: self.cells.size] = self.cells
            self.cells = grown

    def detach(self) -> None:
        """Leave the published array to its readers and go on with a copy."""
        self.cells = self.cells.copy()

    def view(self, size: int) -> npt.NDArray[Any]:
        """Return the first cells, not writable."""
        view = self.cells[:size]
        view.flags.writeable = False
        return view


@dataclass(frozen=True, slots=True)
class ItemTable:
    """What readers see, whole. ``changed`` holds per row the version of its last change; it alone is written in place,
    ahead of publication, which at worst makes a reader look at a row twice.
    """

    version: int
    size: int
    items: Blocks
    exists: Mask
    available: Mask
    created_at: npt.NDArray[np.float64]
    changed: npt.NDArray[np.int64]
    attributes: frozenset[str]
    """Every attribute that an item has now, and those that any item may have."""


class Draft:
    """Collects changes by one writer, then publishes them as the next `ItemTable`."""

    def __init__(self) -> None:
        self._exists = Column(np.bool_, True)
        self._available = Column(np.bool_, True)
        self._created_at = Column(np.float64, np.nan)
        self._described_at = Column(np.float64, np.nan)
        self._changed = Column(np.int64, -1)
        self._attributes: Counter[str] = Counter()
        self._items: dict[int, ItemChange | None] = {}
        self._detached = False
        self._version = 0
        self._size = 0
        self.table = self._make(Blocks())

    @property
    def size(self) -> int:
        """Rows given so far, those not published yet included."""
        return self._size

    def add(self, version: int, rows: int = 1) -> None:
        """Give the next rows to items of which only the id is known: they exist and are available."""
        self._size += rows
        for column in (self._exists, self._available, self._created_at, self._described_at, self._changed):
            column.reserve(self._size)
        self._changed.cells[self._size - rows : self._size] = version
        self._version = max(self._version, version)

    def first_described(self, row: int, at: float) -> None:
        """Note that a row was described at this time, unless it is described already."""
        if np.isnan(self._described_at.cells[row]):
            self._described_at.cells[row] = at

    def describe(self, row: int, item: ItemChange, version: int) -> None:
        """Set an item's state. Without ``created_at`` the first description counts: a change makes no item new."""
        self.first_described(row, item.at)
        created_at = float(self._described_at.cells[row]) if item.created_at is None else item.created_at
        self._write(row, version, exists=True, available=item.available, created_at=created_at)
        self._keep(row, item)

    def remove(self, row: int, version: int) -> None:
        """Take an item out; its row stays."""
        self._described_at.cells[row] = np.nan
        self._write(row, version, exists=False, available=False, created_at=np.nan)
        self._keep(row, None)

    def publish(self) -> ItemTable:
        """Return the table with all changes since the last one."""
        self.table = self._make(self.table.items.changed(self._items))
        self._items = {}
        self._detached = False
        return self.table

    def _write(self, row: int, version: int, *, exists: bool, available: bool, created_at: float) -> None:
        if row < self.table.size and not self._detached:
            for column in (self._exists, self._available, self._created_at):
                column.detach()
            self._detached = True
        self._exists.cells[row] = exists
        self._available.cells[row] = available
        self._created_at.cells[row] = created_at
        self._changed.cells[row] = version
        self._version = max(self._version, version)

    def _keep(self, row: int, item: ItemChange | None) -> None:
        old = self._items[row] if row in self._items else self.table.items.get(row)
        if old is not None:
            self._attributes.subtract(list(old.attributes))
        if item is not None:
            self._attributes.update(list(item.attributes))
        self._items[row] = item

    def _make(self, items: Blocks) -> ItemTable:
        size = self._size
        return ItemTable(
            version=self._version,
            size=size,
            items=items,
            exists=self._exists.view(size),
            available=self._available.view(size),
            created_at=self._created_at.view(size),
            changed=self._changed.view(size),
            attributes=frozenset(BUILT_IN).union(name for name, held in self._attributes.items() if held > 0),
        )

"""The items that exist now, folded from the log into columns. Knows no user."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from slatewise.domain.errors import InputError, StorageError
from slatewise.domain.events import Interaction, ItemChange, ItemRemoval, Stored
from slatewise.domain.ids import NO_ROW, Mask, Rows
from slatewise.domain.query import Condition
from slatewise.ports.stores import LogStore
from slatewise.storage.attribute_column import AttributeColumn
from slatewise.storage.conditions import EQUALITY, Comparison, comparisons_of
from slatewise.storage.item_table import Draft, ItemTable


class LiveCatalogue:
    """The catalogue as of the last followed event. Any thread may read; one thread at a time may `follow`.

    An interaction with an unknown item makes an implicit item: it exists, is available, and has nothing but its id.
    Every read works on one published table, so it sees a batch of followed events whole or not at all.
    """

    def __init__(self) -> None:
        self._draft = Draft()
        self._table: ItemTable = self._draft.table
        self._followed = 0
        self._ids: list[str] = []
        self._row_of: dict[str, int] = {}
        self._columns: dict[str, AttributeColumn] = {}
        self._building = threading.Lock()

    @classmethod
    def load(cls, log: LogStore) -> LiveCatalogue:
        """Return the catalogue at the log's end without replaying interactions."""
        catalogue = cls()
        said = log.item_facts()
        catalogue._followed = said.version
        catalogue._ids.extend(said.ids)
        draft = catalogue._draft
        draft.add(said.given + 1, len(said.ids))
        for offset, row, at, event in said.facts:
            if isinstance(event, ItemChange):
                draft.describe(row, event, offset + 1)
            elif isinstance(event, ItemRemoval):
                draft.remove(row, offset + 1)
            else:
                draft.first_described(row, at)
        catalogue._row_of = {id: row for row, id in enumerate(catalogue._ids)}
        catalogue._table = catalogue._draft.publish()
        return catalogue

    @property
    def followed(self) -> int:
        """The version up to which the log is reflected: follow on from here."""
        return self._followed

    @property
    def version(self) -> int:
        return self._table.version

    def __len__(self) -> int:
        return self._table.size

    def row(self, item_id: str) -> int:
        row = self._row_of.get(item_id, NO_ROW)
        return row if row < self._table.size else NO_ROW

    def rows(self, item_ids: Sequence[str]) -> Rows:
        return self._rows_in(self._table, item_ids)

    def ids(self, rows: Rows) -> list[str]:
        return [self._ids[row] for row in rows.tolist()]

    @property
    def available(self) -> Mask:
        return self._table.available

    @property
    def created_at(self) -> npt.NDArray[np.float64]:
        """Per row, when the item was created, seconds, NaN where unknown; shape ``(len,)``.

        Where no change says so, the time of the first `ItemChange` since the item came (back).
        """
        return self._table.created_at

    def item(self, row: int) -> ItemChange | None:
        return self._table.items.get(row)

    def exists(self, row: int) -> bool:
        table = self._table
        return 0 <= row < table.size and bool(table.exists[row])

    def codes(self, attribute: str) -> npt.NDArray[np.int64]:
        column = self._columns.get(attribute)
        table = self._table
        if attribute == "item_id":
            return np.arange(table.size)
        if attribute not in table.attributes:
            # Not one value per item: this is asked with every request.
            return np.broadcast_to(np.int64(NO_ROW), (table.size,))
        return self._column(attribute, column, table).code

    def meeting(self, where: Mapping[str, Condition]) -> Mask:
        # Columns before the table: then none of them is ahead of it.
        columns = {attribute: self._columns.get(attribute) for attribute in where}
        table = self._table
        mask = np.ones(table.size, bool)
        for attribute, condition in where.items():
            if attribute not in table.attributes:
                raise InputError(f"where.{attribute}", condition, f"one of {', '.join(sorted(table.attributes))}")
            for comparison in comparisons_of(attribute, condition):
                if attribute == "item_id":
                    mask &= self._id_meets(table, comparison)
                else:
                    mask &= self._column(attribute, columns[attribute], table).meets(comparison)
        return mask

    def follow(self, events: Sequence[Stored]) -> None:
        """Fold events in log order; those below `followed` are known already."""
        draft = self._draft
        before = draft.size
        told = False
        for stored in events:
            event, row, version = stored.event, stored.item, stored.offset + 1
            if stored.offset < self._followed or not isinstance(event, Interaction | ItemChange | ItemRemoval):
                continue
            if row >= draft.size:
                self._add(event.item_id, row, version)
            if isinstance(event, ItemChange):
                draft.describe(row, event, version)
                told = True
            elif isinstance(event, ItemRemoval):
                draft.remove(row, version)
                told = True
        if told or draft.size > before:
            self._table = draft.publish()
        if events:
            self._followed = max(self._followed, events[-1].offset + 1)

    def _add(self, item_id: str, row: int, version: int) -> None:
        if row != self._draft.size:
            raise StorageError(f"the log gave item {item_id!r} row {row} where row {self._draft.size} comes next")
        self._ids.append(item_id)
        self._row_of[item_id] = row
        self._draft.add(version)

    def _rows_in(self, table: ItemTable, item_ids: Sequence[str]) -> Rows:
        rows = np.fromiter((self._row_of.get(i, NO_ROW) for i in item_ids), np.int64, len(item_ids))
        rows[rows >= table.size] = NO_ROW
        return rows

    def _id_meets(self, table: ItemTable, comparison: Comparison) -> Mask:
        if comparison.operator not in EQUALITY:
            raise InputError(comparison.field, comparison.operands[0], f"an operator of {', '.join(EQUALITY)}")
        rows = self._rows_in(table, [str(operand) for operand in comparison.operands])
        mask = np.zeros(table.size, bool)
        mask[rows[rows >= 0]] = True
        return ~mask if comparison.operator in ("ne", "not_in") else mask

    def _column(self, attribute: str, column: AttributeColumn | None, table: ItemTable) -> AttributeColumn:
        """Return the column as of *table*, reading anew only the rows changed since *column*."""
        if column is not None and column.version == table.version:
            return column
        with self._building:
            newest = self._columns.get(attribute)
            if newest is not None and newest.version == table.version:
                return newest
            if newest is not None and newest.version < table.version:
                column = newest
            column = column or AttributeColumn.empty(attribute)
            rows = np.flatnonzero(table.changed > column.version)
            items = (table.items.get(row) for row in rows.tolist())
            updated = column.updated(rows, items, table.size, table.version)
            if newest is None or newest.version < table.version:
                self._columns[attribute] = updated
        return updated

"""What rows of slates say of the requests behind them: further columns, read as attributes are. Knows no items."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from slatewise.datasets.attributes import attributes
from slatewise.datasets.sheet import Sheet
from slatewise.domain.events import Attributes, AttributeValue, is_vector
from slatewise.domain.ids import Mask


class ContextColumns:
    """The further columns of a sheet of slates, row by row.

    A column that differs within any slate speaks of the shown item (its price, whether it was clicked), not of the
    request: it is no context, anywhere in the file, and named in ``ignored``. Empty cells do not differ from others.
    """

    def __init__(self, sheet: Sheet, own: Collection[str], slates: Collection[Sequence[int]]) -> None:
        """Read all columns but *own*; each of *slates* is the places of its rows."""
        self._rows = attributes(sheet, own)
        names = [name for name in sheet.columns if name not in own]
        differing = {name for name in names for places in slates if len(self._values(name, places)) > 1}
        self.ignored = tuple(name for name in names if name in differing)
        self._names = [name for name in names if name not in differing]

    def vectors(self) -> dict[str, Mask]:
        """Return by column which rows ``(n,)`` hold a vector, which no context takes."""
        masks = {name: np.array([is_vector(row.get(name)) for row in self._rows], bool) for name in self._names}
        return {name: mask for name, mask in masks.items() if mask.any()}

    def of(self, places: Sequence[int]) -> Attributes:
        """Return the context of the slate with these rows."""
        said = {name: self._values(name, places) for name in self._names}
        return {name: next(iter(values)) for name, values in said.items() if values}

    def _values(self, name: str, places: Sequence[int]) -> dict[AttributeValue, None]:
        return dict.fromkeys(value for place in places if (value := self._rows[place].get(name)) is not None)

"""One attribute of all items as arrays, and comparisons on it. Knows nothing of how items change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slatewise.domain.errors import InputError
from slatewise.domain.events import ItemChange, is_vector
from slatewise.domain.ids import Mask, Rows
from slatewise.storage.conditions import Comparison, Scalar

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AttributeColumn:
    """An attribute as of a catalogue version. ``code`` (-1 missing) and ``number`` (NaN none) are per row, ``(n,)``.

    A list's further values lie in ``more_row`` and ``more_code``. Flags count as the numbers 0 and 1. Precomputed
    vectors are no values to compare: ``vector`` marks their rows, and they have no code.

    ``vocabulary`` gives values codes; later versions of the column share and extend it, codes never change.
    """

    name: str
    version: int
    code: Codes
    number: npt.NDArray[np.float64]
    more_row: Rows
    more_code: Codes
    vector: Mask
    vocabulary: dict[Scalar, int]
    has_text: bool = False
    has_number: bool = False

    @staticmethod
    def empty(name: str) -> AttributeColumn:
        none = np.empty(0, np.int64)
        return AttributeColumn(name, -1, none, np.empty(0), none, none, np.empty(0, bool), {})

    def updated(self, rows: Rows, items: Iterable[ItemChange | None], size: int, version: int) -> AttributeColumn:
        """Return the column with these rows read anew and *size* rows. One thread at a time: extends the vocabulary."""
        code = np.full(size, -1)
        number = np.full(size, np.nan)
        vector = np.zeros(size, bool)
        code[: self.code.size] = self.code
        number[: self.number.size] = self.number
        vector[: self.vector.size] = self.vector
        code[rows] = -1
        number[rows] = np.nan
        stale = np.zeros(size, bool)
        stale[rows] = True
        keep = ~stale[self.more_row]
        more_row, more_code = [], []
        vocabulary = self.vocabulary
        for row, item in zip(rows.tolist(), items, strict=True):
            vector[row] = item is not None and is_vector(item.attributes.get(self.name))
            for place, value in enumerate(values_of(item, self.name)):
                found = vocabulary.setdefault(value, len(vocabulary))
                if place:
                    more_row.append(row)
                    more_code.append(found)
                else:
                    code[row] = found
                    if not isinstance(value, str):
                        number[row] = value
        return AttributeColumn(
            self.name,
            version,
            code,
            number,
            np.append(self.more_row[keep], np.array(more_row, np.int64)),
            np.append(self.more_code[keep], np.array(more_code, np.int64)),
            vector,
            vocabulary,
            has_text=bool(np.any((code >= 0) & np.isnan(number))),
            has_number=not bool(np.all(np.isnan(number))),
        )

    def meets(self, comparison: Comparison) -> Mask:
        """Return per row whether the comparison holds; a vector counts as missing.

        Raises InputError where text meets numbers, and where the column holds nothing but vectors.
        """
        if self.vector.any() and not (self.has_text or self.has_number):
            expected = f"another attribute: {self.name} holds vectors, which cannot be compared"
            raise InputError(comparison.field, list(comparison.operands), expected)
        for operand in comparison.operands:
            self._check_kind(comparison, operand)
        if comparison.operator in _COMPARE:
            with np.errstate(invalid="ignore"):
                return _COMPARE[comparison.operator](self.number, float(comparison.operands[0]))
        wanted = np.zeros(len(self.vocabulary) + 1, bool)  # the last place is code -1: missing
        for operand in comparison.operands:
            code = self.vocabulary.get(operand)
            if code is not None and code < wanted.size - 1:
                wanted[code] = True
        mask = wanted[self.code]
        mask[self.more_row[wanted[self.more_code]]] = True
        return ~mask if comparison.operator in ("ne", "not_in") else mask

    def _check_kind(self, comparison: Comparison, operand: Scalar) -> None:
        if isinstance(operand, str) and self.has_number and not self.has_text:
            raise InputError(comparison.field, operand, f"a number, for {self.name} holds numbers")
        if not isinstance(operand, str) and self.has_text and not self.has_number:
            raise InputError(comparison.field, operand, f"text, for {self.name} holds text")


def values_of(item: ItemChange | None, attribute: str) -> tuple[Scalar, ...]:
    """Return what an item says under an attribute's name: no value (or a vector), one, or several of a list."""
    if item is None:
        return ()
    if attribute == "categories":
        return item.categories
    if attribute == "title":
        return () if item.title is None else (item.title,)
    value = item.attributes.get(attribute)
    if value is None or is_vector(value):
        return ()
    return value if isinstance(value, tuple) else (value,)


_COMPARE: dict[str, Callable[[npt.NDArray[np.float64], float], Mask]] = {
    "lt": lambda number, bound: number < bound,
    "lte": lambda number, bound: number <= bound,
    "gt": lambda number, bound: number > bound,
    "gte": lambda number, bound: number >= bound,
}

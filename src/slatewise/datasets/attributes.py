"""Columns without a meaning of their own to attribute values, one kind per column. Knows no item and no user."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from slatewise.datasets.numbers import numbers, parsed, times
from slatewise.datasets.sheet import Sheet, is_null
from slatewise.datasets.vectors import listed_vectors, parsed_vectors
from slatewise.domain.events import AttributeValue

SEPARATOR = "|"
WHOLE = 2**53
"""Above it float64 cannot tell integers apart, so such numbers are names."""
CODE = r"^-?0\d|^-?\d{16,}$"
"""Digits that are a name rather than a quantity: leading zeros, as in zip codes, or more of them than a float holds."""

Values: TypeAlias = list[AttributeValue | None]


def attributes(sheet: Sheet, own: Collection[str]) -> list[dict[str, AttributeValue]]:
    """Return per row the values of all columns but *own*; what is missing has no key."""
    names = [name for name in sheet.columns if name not in own]
    if not names:
        return [{} for _ in range(len(sheet))]
    columns = [_values(sheet, name) for name in names]
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in zip(*columns, strict=True)
    ]


def lists(sheet: Sheet, name: str) -> list[tuple[str, ...]]:
    """Return a column as lists of text split by ``|``; empty where missing or absent."""
    if name in sheet.columns and _is_list(sheet.column(name).type):
        return [_cleaned(value) for value in sheet.column(name).to_pylist()]
    return [_split(text) for text in sheet.text(name).to_pylist()]


def _values(sheet: Sheet, name: str) -> Values:
    """Return numbers where all values are, lists where any holds ``|``, else texts; declared types are kept.

    Lists of floats, and texts that are all JSON lists of numbers such as ``[0.1, -2]``, are precomputed vectors.
    """
    array = sheet.column(name)
    kind = array.type
    if pa.types.is_boolean(kind):
        flags: Values = array.to_pylist()
        return flags
    if _is_list(kind):
        if pa.types.is_floating(kind.value_type):
            return [*listed_vectors(array)]
        return [value or None for value in lists(sheet, name)]
    if pa.types.is_nested(kind):
        return [None if value is None else msgspec.json.encode(value).decode() for value in array.to_pylist()]
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _floats(times(sheet, name)[0])
    if pa.types.is_integer(kind) and not _any(pc.greater(pc.abs_checked(pc.cast(array, pa.float64(), False)), WHOLE)):
        return _floats(numbers(sheet, name)[0])
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _floats(numbers(sheet, name)[0])
    return _from_text(sheet.text(name), sheet.is_typed)


def _from_text(text: pa.Array, is_typed: bool) -> Values:
    if not is_typed and not _any(pc.match_substring_regex(text, CODE)):
        values = parsed(text)
        missing = is_null(text)
        if not missing.all() and not np.isnan(values[~missing]).any():
            return _floats(values)
    vectors = parsed_vectors(text)
    if vectors is not None:
        return [*vectors]
    if _any(pc.match_substring(text, SEPARATOR)):
        return [_split(value) or None for value in text.to_pylist()]
    texts: Values = text.to_pylist()
    return texts


def _split(text: str | None) -> tuple[str, ...]:
    return _cleaned(text.split(SEPARATOR)) if text else ()


def _cleaned(value: list[Any] | None) -> tuple[str, ...]:
    return tuple(text for each in value or () if each is not None and (text := str(each).strip()))


def _floats(values: npt.NDArray[np.float64]) -> Values:
    return [
        value if known else None for value, known in zip(values.tolist(), np.isfinite(values).tolist(), strict=True)
    ]


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _any(mask: pa.Array) -> bool:
    return bool(pc.any(mask).as_py())

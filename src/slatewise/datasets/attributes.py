"""Free columns to attribute values: a number, a list or a text, decided once per column. Knows no item and no user."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from slatewise.datasets.columns import as_text, is_list, numbers, times
from slatewise.domain.events import AttributeValue

SEPARATOR = "|"
_CODE = r"^-?0[0-9]|^[0-9]{16,}$"
"""Digits that are a name rather than a quantity: leading zeros, or more of them than a float holds."""

Values: TypeAlias = list[AttributeValue | None]


def attribute_values(column: pa.Array) -> Values:
    """Return one value per row, None where missing.

    Numbers where every value is one (but codes with leading zeros, such as zip codes, stay text), lists of text where
    any value contains ``|``, else text. Typed columns keep their type; times become seconds since the epoch.
    """
    kind = column.type
    if pa.types.is_boolean(kind):
        flags: Values = column.to_pylist()
        return flags
    if is_list(column):
        return _lists(as_text(column))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _or_none(times(column).values)
    if not _is_texty(kind):
        return _or_none(numbers(column).values)
    text = as_text(column)
    parsed = numbers(text)
    if not parsed.bad.any() and not parsed.missing.all() and not _any(pc.match_substring_regex(text, _CODE)):
        return _or_none(parsed.values)
    if _any(pc.match_substring(text, SEPARATOR)):
        return _lists(text)
    texts: Values = text.to_pylist()
    return texts


def lists(column: pa.Array) -> list[tuple[str, ...]]:
    """Return the column as lists of text split by ``|``, empty where missing."""
    return [_split(text) for text in as_text(column).to_pylist()]


def rows_of(columns: dict[str, Values], length: int) -> list[dict[str, AttributeValue]]:
    """Return per row the attributes that it has."""
    names = tuple(columns)
    if not names:
        return [{} for _ in range(length)]
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in zip(*columns.values(), strict=True)
    ]


def _lists(text: pa.Array) -> Values:
    return [_split(each) or None for each in text.to_pylist()]


def _split(text: str | None) -> tuple[str, ...]:
    return tuple(part for part in map(str.strip, text.split(SEPARATOR)) if part) if text else ()


def _or_none(values: Any) -> Values:
    return [
        value if known else None for value, known in zip(values.tolist(), np.isfinite(values).tolist(), strict=True)
    ]


def _any(mask: pa.Array) -> bool:
    return bool(pc.any(mask).as_py())


def _is_texty(kind: pa.DataType) -> bool:
    checks = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return not any(check(kind) for check in checks)

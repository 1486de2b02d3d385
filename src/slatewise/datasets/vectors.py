"""Lists of numbers in a column to precomputed vectors, None where a row has none. Knows no sheet.

A number that is missing inside of a vector becomes NaN; `holed` finds such vectors. Lists of nothing but whole
numbers are codes, as those of tags.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from types import NoneType
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slatewise.domain.events import Attributes, is_vector
from slatewise.domain.ids import Mask

Column: TypeAlias = list[tuple[float, ...] | None]


def as_vectors(values: Sequence[object]) -> Column | None:
    """Return the vectors of a column where every value is a list of numbers, None where it holds anything else."""
    kinds: set[type] = set()
    for value in values:
        if isinstance(value, list):
            kinds.update(map(type, value))
        elif value is not None:
            return None
    if float not in kinds or not kinds <= {float, int, NoneType}:
        return None
    try:
        return [_vector(value) if isinstance(value, list) else None for value in values]
    except OverflowError:  # an integer beyond any float is a name
        return None


def parsed_vectors(text: pa.Array) -> Column | None:
    """Return the vectors of a column of JSON lists of numbers, None where any text is something else."""
    if not pc.all(pc.starts_with(text, "[")).as_py():
        return None
    try:
        return as_vectors([None if value is None else json.loads(value) for value in text.to_pylist()])
    except (ValueError, RecursionError):
        return None


def listed_vectors(array: pa.Array) -> Column:
    """Return the vectors of an Arrow column of lists of floats, of fixed or of varying size."""
    flat = pc.cast(pc.list_flatten(array), pa.float64()).to_numpy(zero_copy_only=False)
    end = np.cumsum(pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)).tolist()
    return [tuple(flat[a:b].tolist()) or None for a, b in zip([0, *end[:-1]], end, strict=True)]


def holed(described: Sequence[Attributes]) -> dict[str, Mask]:
    """Return by attribute which rows ``(n,)`` have a vector with a number that is missing or not finite."""
    found: dict[str, Mask] = {}
    for row, attributes in enumerate(described):
        for name, value in attributes.items():
            if is_vector(value) and not all(map(math.isfinite, value)):
                found.setdefault(name, np.zeros(len(described), bool))[row] = True
    return found


def _vector(numbers: list[float | None]) -> tuple[float, ...] | None:
    return tuple(math.nan if number is None else float(number) for number in numbers) or None

"""Columns of any type to ids, numbers, times and flags, each with what is missing and what is bad. Pure functions."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from slatewise.domain.ids import Mask

NUMBER = r"^-?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?$|^-?\.[0-9]+([eE][+-]?[0-9]{1,3})?$"
YES = ("true", "1", "yes", "t", "y")
NO = ("false", "0", "no", "f", "n")
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""From this size on, a time since the epoch must be in ns, us, ms: in the next larger unit it lies beyond year 5000."""
_WHOLE = 2.0**53


class Parsed(NamedTuple):
    """Values of shape ``(n,)``, NaN where missing or bad; ``missing`` and ``bad`` never overlap."""

    values: npt.NDArray[np.float64]
    missing: Mask
    bad: Mask


def as_text(column: pa.Array) -> pa.Array:
    """Return the column as trimmed strings, null where empty or missing. Whole floats read like whole numbers."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return as_text(column.dictionary_decode())
    if is_list(column) or pa.types.is_nested(kind):
        texts = [None if value is None else _joined(value) for value in column.to_pylist()]
        return _blank_to_null(pa.array(texts, pa.string()))
    if pa.types.is_floating(kind):
        values = _floats(column)
        finite = np.isfinite(values)
        if bool(np.all((values[finite] == np.trunc(values[finite])) & (np.abs(values[finite]) < _WHOLE))):
            whole = pa.array(np.where(finite, values, 0).astype(np.int64))
            return pc.if_else(pa.array(finite), whole.cast(pa.string()), pa.scalar(None, pa.string()))
        return pc.if_else(pa.array(~np.isnan(values)), column.cast(pa.string()), pa.scalar(None, pa.string()))
    return _blank_to_null(column.cast(pa.string()))


def numbers(column: pa.Array) -> Parsed:
    """Return the column as float64; bad is what is no number or not finite."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or _is_decimal(kind):
        values, missing = _floats(column), _nulls(column)
    else:
        text = as_text(column)
        missing = _nulls(text)
        good = pc.fill_null(pc.match_substring_regex(text, NUMBER), False)
        values = np.full(len(column), np.nan)
        values[_mask(good)] = text.filter(good).cast(pa.float64()).to_numpy(zero_copy_only=False)
    bad = ~missing & ~np.isfinite(values)
    return Parsed(np.where(bad, np.nan, values), missing, bad)


def times(column: pa.Array) -> Parsed:
    """Return the column as seconds since the epoch; bad is what can be read neither as a number nor as ISO-8601.

    Numbers are in seconds, ms, us or ns: whichever puts the median between 1973 and the year 5000, seconds if none
    does. Text without a zone is UTC.
    """
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        naive = column.cast(pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False)
        missing = _nulls(column)
        ticks = pc.fill_null(naive.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
        return Parsed(np.where(missing, np.nan, ticks / 1e6), missing, np.zeros(len(column), bool))
    values, missing, bad = numbers(column)
    known = values[np.isfinite(values)]
    if known.size:
        middle = float(np.abs(np.median(known)))
        values = values / next((unit for size, unit in _UNITS if middle >= size), 1.0)
    if bool(bad.any()) and not pa.types.is_floating(kind):
        at = np.flatnonzero(bad)
        values[at] = [_iso(text) for text in as_text(column).take(pa.array(at)).to_pylist()]
        bad = ~missing & ~np.isfinite(values)
    return Parsed(values, missing, bad)


def flags(column: pa.Array) -> Parsed:
    """Return the column as 1 and 0; true, yes, 1 and false, no, 0 are understood."""
    text = pc.utf8_lower(as_text(column))
    missing = _nulls(text)
    yes, no = (_mask(pc.is_in(text, value_set=pa.array(words))) for words in (YES, NO))
    return Parsed(np.where(yes, 1.0, np.where(no, 0.0, np.nan)), missing, ~missing & ~yes & ~no)


def missing(text: pa.Array) -> Mask:
    """Mark the nulls of a column."""
    return _nulls(text)


def is_list(column: pa.Array) -> bool:
    """Whether every value of the column is a list."""
    kind = column.type
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _joined(value: Any) -> str:
    if isinstance(value, list):
        return "|".join(str(each) for each in value if each is not None)
    return json.dumps(value, default=str, sort_keys=True)


def _blank_to_null(text: pa.Array) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def _iso(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return float("nan")


def _floats(column: pa.Array) -> npt.NDArray[np.float64]:
    values: npt.NDArray[np.float64] = pc.fill_null(column.cast(pa.float64(), safe=False), float("nan")).to_numpy(
        zero_copy_only=False
    )
    return values


def _nulls(column: pa.Array) -> Mask:
    return _mask(column.is_null())


def _mask(column: pa.Array) -> Mask:
    mask: Mask = np.asarray(column.to_numpy(zero_copy_only=False), bool)
    return mask


def _is_decimal(kind: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(kind))

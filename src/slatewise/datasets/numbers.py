"""Columns of numbers and times: text or native in, float64 out. NaN marks what is missing."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from slatewise.datasets.sheet import Sheet, is_null
from slatewise.domain.ids import Mask

NUMBER = r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"

# A plain number is a time in the coarsest unit that keeps it before the year 5138; in seconds any file is.
UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))


def numbers(sheet: Sheet, name: str) -> tuple[npt.NDArray[np.float64], Mask]:
    """Return a column's numbers, NaN where empty, and a mask of the values that are no finite number."""
    array = _native(sheet, name)
    if array is not None:
        values: npt.NDArray[np.float64] = pc.cast(array, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return np.where(np.isinf(values), np.nan, values), np.isinf(values)
    text = sheet.text(name)
    values = parsed(text)
    return values, np.isnan(values) & ~is_null(text)


def times(sheet: Sheet, name: str) -> tuple[npt.NDArray[np.float64], Mask]:
    """Return a column's times in seconds since the epoch, NaN where empty, and a mask of the values that are none.

    Numbers are seconds, or milli-, micro- or nanoseconds where most of the column is too large for seconds. Text that
    is no number is read as ISO-8601, in UTC where it names no zone.
    """
    if name in sheet.columns and pa.types.is_temporal(kind := sheet.column(name).type) and not pa.types.is_time(kind):
        micros = pc.cast(pc.cast(sheet.column(name), pa.timestamp("us"), safe=False), pa.int64())
        values: npt.NDArray[np.float64] = pc.cast(micros, pa.float64()).to_numpy(zero_copy_only=False) / 1e6
        return values, np.zeros(len(sheet), bool)
    values, bad = numbers(sheet, name)
    values = values / _unit(values)
    if bad.any() and _native(sheet, name) is None:
        values, bad = values.copy(), bad.copy()
        places = np.flatnonzero(bad)
        values[places] = _iso(sheet.text(name).take(pa.array(places)))
        bad[places] = np.isnan(values[places])
    return values, bad


def parsed(text: pa.Array) -> npt.NDArray[np.float64]:
    """Return strings as numbers, NaN where they are null, not a number, or not finite."""
    is_number = pc.fill_null(pc.match_substring_regex(text, NUMBER), False)
    candidates = pc.if_else(is_number, text, pa.scalar(None, pa.string()))
    try:
        values: npt.NDArray[np.float64] = pc.cast(candidates, pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:  # a number beyond float64 among them
        values = np.array([np.nan if t is None else float(t) for t in candidates.to_pylist()])
    return np.where(np.isfinite(values), values, np.nan)


def _native(sheet: Sheet, name: str) -> pa.Array | None:
    if name not in sheet.columns:
        return None
    array = sheet.column(name)
    kind = array.type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return array if is_number else None


def _unit(values: npt.NDArray[np.float64]) -> float:
    known = np.abs(values[np.isfinite(values)])
    typical = float(np.median(known)) if known.size else 0.0
    return next((unit for above, unit in UNITS if typical > above), 1.0)


def _iso(text: pa.Array) -> npt.NDArray[np.float64]:
    coded = text.dictionary_encode()
    distinct = np.array([_instant(value) for value in coded.dictionary.to_pylist()], np.float64)
    instants: npt.NDArray[np.float64] = distinct[coded.indices.to_numpy()]
    return instants


def _instant(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return np.nan
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

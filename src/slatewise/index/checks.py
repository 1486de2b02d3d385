"""What an index accepts. Knows shapes and finiteness only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slatewise.domain.errors import InputError
from slatewise.domain.ids import Mask, Rows, Vectors

LARGEST_ROW = 2**31 - 1
"""Rows are dense, so a larger one is a mistake; believing it would cost gigabytes for the row map."""


def checked_query(query: npt.ArrayLike, dim: int) -> Vectors:
    """Return the query as float32 of shape ``(dim,)``. Raises InputError for another shape, NaN or infinity."""
    vector = _as_float32(query, "vector")
    if vector.shape != (dim,):
        raise InputError("vector", vector.shape, f"one vector of width {dim}")
    if not np.isfinite(vector).all():
        raise InputError("vector", query, "finite numbers")
    return vector


def checked_rows(rows: npt.ArrayLike) -> Rows:
    """Return rows as int64, shape ``(n,)``. Raises InputError for another shape or for numbers that are not whole."""
    array = np.asarray(rows)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InputError("rows", f"{array.dtype} of shape {array.shape}", "whole numbers of shape (n,)")
    return array.astype(np.int64)


def checked_vectors(rows: npt.ArrayLike, vectors: npt.ArrayLike, dim: int) -> tuple[Rows, Vectors]:
    """Return rows and float32 vectors ``(n, dim)``; of a row given twice the last vector stays.

    Raises InputError for another shape, a row out of range, NaN or infinity.
    """
    at, matrix = checked_rows(rows), _as_float32(vectors, "vectors")
    if matrix.shape != (at.size, dim):
        raise InputError("vectors", matrix.shape, f"shape ({at.size}, {dim})")
    if at.size and (at.min() < 0 or at.max() > LARGEST_ROW):
        raise InputError("rows", (int(at.min()), int(at.max())), f"rows from 0 to {LARGEST_ROW}")
    if not np.isfinite(matrix).all():
        broken = int(at[np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0]])
        raise InputError("vectors", f"NaN or infinity for row {broken}", "finite numbers")
    if at.size < 2:
        return at, matrix
    _, first_from_the_end = np.unique(at[::-1], return_index=True)
    if first_from_the_end.size < at.size:
        last = np.sort(at.size - 1 - first_from_the_end)
        at, matrix = at[last], matrix[last]
    return at, matrix


def checked_allow(allow: Mask | None) -> Mask | None:
    """Return the mask. Raises InputError where it is not a column of booleans."""
    if allow is not None and (allow.dtype != np.bool_ or allow.ndim != 1):
        raise InputError("allow", f"{allow.dtype} of shape {allow.shape}", "booleans of shape (rows,)")
    return allow


def _as_float32(values: npt.ArrayLike, field: str) -> Vectors:
    if isinstance(values, np.ndarray) and values.dtype == np.float32:
        return np.ascontiguousarray(values)
    # Too large for float32 becomes infinity here and is refused by the caller; the warning would say it twice.
    with np.errstate(over="ignore"):
        try:
            return np.ascontiguousarray(values, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise InputError(field, values, "numbers") from error

"""PostgreSQL's binary form of rows and vectors, read and written as whole numpy columns. Knows no connection."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Mask, Rows, Vectors

INT4 = 23
"""The server's number for the type integer, the same everywhere; that of an extension's type is asked for."""
SIGNATURE = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)


@dataclass(frozen=True, slots=True)
class Binary:
    """One parameter in binary form; the statement says its type by a cast."""

    data: bytes


def vector(query: Vectors) -> Binary:
    """Return one vector, shape ``(d,)``."""
    return Binary(struct.pack(">hh", query.size, 0) + query.astype(">f4").tobytes())


def row_array(rows: Rows) -> Binary:
    """Return rows as ``integer[]``."""
    items = np.empty(rows.size, [("bytes", ">i4"), ("row", ">i4")])
    items["bytes"], items["row"] = 4, rows
    return Binary(_array_head(INT4, rows.size) + items.tobytes())


def vector_array(vectors: Vectors, type_number: int) -> Binary:
    """Return vectors, shape ``(n, d)``, as ``vector[]``; *type_number* is the server's for the type vector."""
    items = np.empty(len(vectors), _vector_fields(vectors.shape[1]))
    _fill(items, vectors)
    return Binary(_array_head(type_number, len(vectors)) + items.tobytes())


def bits(allow: Mask) -> Binary:
    """Return a mask as ``bytea``, in the order in which `get_bit` counts."""
    return Binary(np.packbits(allow, bitorder="little").tobytes())


def copied(rows: Rows, vectors: Vectors) -> bytes:
    """Return what COPY … FROM STDIN (FORMAT binary) reads: pairs of row and vector."""
    items = np.empty(rows.size, _pair_fields(vectors.shape[1]))
    items["fields"], items["row_bytes"], items["row"] = 2, 4, rows
    _fill(items, vectors)
    return SIGNATURE + items.tobytes() + TRAILER


def uncopied(data: bytes, dim: int) -> tuple[Rows, Vectors]:
    """Return rows and vectors from what COPY … TO STDOUT (FORMAT binary) wrote."""
    items = np.frombuffer(data[len(SIGNATURE) : -len(TRAILER)], _pair_fields(dim))
    return items["row"].astype(np.int64), items["values"].astype(np.float32)


def _vector_fields(dim: int) -> list[tuple[str, str] | tuple[str, str, tuple[int]]]:
    return [("bytes", ">i4"), ("dim", ">i2"), ("unused", ">i2"), ("values", ">f4", (dim,))]


def _pair_fields(dim: int) -> list[tuple[str, str] | tuple[str, str, tuple[int]]]:
    return [("fields", ">i2"), ("row_bytes", ">i4"), ("row", ">i4"), *_vector_fields(dim)]


def _fill(items: npt.NDArray[np.void], vectors: Vectors) -> None:
    dim = vectors.shape[1]
    items["bytes"], items["dim"], items["unused"], items["values"] = 4 + 4 * dim, dim, 0, vectors


def _array_head(type_number: int, size: int) -> bytes:
    if not size:
        return struct.pack(">iiI", 0, 0, type_number)
    return struct.pack(">iiIii", 1, 0, type_number, size, 1)

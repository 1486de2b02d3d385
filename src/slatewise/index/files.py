"""How an index lies on disk: a JSON header and plain ``.npy`` columns. Knows no kind of index in particular."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from slatewise.domain.errors import BundleError
from slatewise.domain.ids import Rows, Vectors
from slatewise.index.store import VectorStore, View

FORMAT = 1
HEADER = "index.json"


class GraphHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the graph beside the columns knows."""

    at: int
    """The change up to which it is complete."""
    unreached: tuple[int, ...]
    """Births that a walk through it does not find."""


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the columns beside it hold."""

    format: int
    kind: str
    dim: int
    rows: int
    at: int
    """The writer's count of changes; births go up to it."""
    graph: GraphHeader | None = None


def write_store(folder: Path, kind: str, view: View, graph: GraphHeader | None = None) -> None:
    """Write the live rows of *view* and the header into *folder*, which exists."""
    rows, vectors, birth = view.live_columns()
    for name, column in (("rows", rows), ("vectors", vectors), ("births", birth)):
        np.save(folder / f"{name}.npy", column, allow_pickle=False)
    header = Header(format=FORMAT, kind=kind, dim=vectors.shape[1], rows=rows.size, at=view.at, graph=graph)
    (folder / HEADER).write_bytes(msgspec.json.encode(header))


def read_store(folder: Path) -> tuple[Header, VectorStore]:
    """Return the header and the store. Raises BundleError naming the file that is missing or does not match."""
    try:
        header = msgspec.json.decode((folder / HEADER).read_bytes(), type=Header)
    except (OSError, msgspec.MsgspecError) as error:
        raise BundleError(f"index file {HEADER}: {error}") from error
    if header.format != FORMAT:
        raise BundleError(f"index file {HEADER}: format {header.format}, this build reads {FORMAT}")
    rows: Rows = _column(folder, "rows", (header.rows,), np.int64)
    vectors: Vectors = _column(folder, "vectors", (header.rows, header.dim), np.float32)
    birth = _column(folder, "births", (header.rows,), np.int64)
    if np.unique(rows).size < rows.size or (rows < 0).any():
        raise BundleError("index file rows.npy: rows must be distinct and not negative")
    if (np.diff(birth) <= 0).any() or birth.max(initial=0) > header.at:
        raise BundleError(f"index file births.npy: births must increase, up to {header.at}")
    return header, VectorStore.restored(rows, vectors, birth, header.at)


def _column(folder: Path, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    try:
        column: npt.NDArray[Any] = np.load(folder / f"{name}.npy", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BundleError(f"index file {name}.npy: {error}") from error
    if not isinstance(column, np.ndarray):
        raise BundleError(f"index file {name}.npy: holds an archive, expected one array")
    if column.shape != shape or column.dtype != dtype:
        found = f"{column.dtype} of shape {column.shape}"
        raise BundleError(f"index file {name}.npy: {found}, expected {np.dtype(dtype)} of shape {shape}")
    return column

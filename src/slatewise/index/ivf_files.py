"""How inverted lists lie on disk: columns that are opened by mapping, so processes share their pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from slatewise.domain.errors import BundleError
from slatewise.domain.ids import Vectors
from slatewise.index.lists import Lists, lists_of_columns
from slatewise.index.plan import Plan
from slatewise.index.segment import LANES, NEVER, Segment, block_bytes, living_hints, seen_by_kernel

FORMAT = 2
HEADER = "index.json"


class IvfHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the columns beside it hold."""

    format: int
    kind: str
    dim: int
    blocks: int
    lists: int
    live: int
    changed: int
    plan: Plan
    queries: int
    """Users' vectors that the plan was chosen with."""


def write_ivf(
    folder: Path,
    kind: str,
    base: Segment,
    lists: Lists,
    live: int,
    changed: int,
    plan: Plan,
    queries: Vectors,
) -> None:
    """Write a segment of which all but the padding is alive, and its lists, into *folder*, which exists."""
    columns: dict[str, npt.NDArray[Any]] = {
        "codes": base.codes,
        "scales": base.scales,
        "vectors": base.vectors,
        "rows": base.rows,
        "centroids": lists.centroids,
        "means": lists.means,
        "spread": lists.spread,
        "offsets": lists.offsets,
        "queries": queries,
    }
    for name, column in columns.items():
        np.save(folder / f"{name}.npy", column, allow_pickle=False)
    header = IvfHeader(
        format=FORMAT,
        kind=kind,
        dim=base.dim,
        blocks=base.positions // LANES,
        lists=len(lists),
        live=live,
        changed=changed,
        plan=plan,
        queries=len(queries),
    )
    (folder / HEADER).write_bytes(msgspec.json.encode(header))


def read_ivf(folder: Path) -> tuple[IvfHeader, Segment, Lists, Vectors]:
    """Open what `write_ivf` wrote, mapped. Raises BundleError naming the file that is missing or does not match."""
    try:
        header = msgspec.json.decode((folder / HEADER).read_bytes(), type=IvfHeader)
    except (OSError, msgspec.MsgspecError) as error:
        raise BundleError(f"index file {HEADER}: {error}") from error
    if header.format != FORMAT:
        raise BundleError(f"index file {HEADER}: format {header.format}, this build reads {FORMAT}")
    positions, dim, count = header.blocks * LANES, header.dim, header.lists
    rows = _column(folder, "rows", (positions,), np.int32)
    if int(np.count_nonzero(rows >= 0)) != header.live or not _are_distinct(rows):
        raise BundleError(f"index file rows.npy: rows must be distinct, and {header.live} of them")
    offsets = _column(folder, "offsets", (count + 1,), np.int64)
    if offsets[0] != 0 or (np.diff(offsets) < 0).any() or offsets[-1] != header.blocks:
        raise BundleError(f"index file offsets.npy: must rise from 0 to {header.blocks}")
    base = seen_by_kernel(
        _column(folder, "codes", (header.blocks * block_bytes(dim),), np.uint8),
        _column(folder, "scales", (positions,), np.float32),
        _column(folder, "vectors", (positions, dim), np.float32),
        rows,
        np.where(rows >= 0, NEVER, 0),
        living_hints(rows),
        writable=False,
    )
    lists = lists_of_columns(
        _column(folder, "centroids", (count, dim), np.float32),
        _column(folder, "means", (count, dim), np.float32),
        _column(folder, "spread", (count,), np.float32),
        offsets,
    )
    queries = _column(folder, "queries", (header.queries, dim), np.float32)
    return header, base, lists, queries


def _are_distinct(rows: npt.NDArray[np.int32]) -> bool:
    present = rows[rows >= 0]
    seen = np.zeros(int(present.max(initial=-1)) + 1, bool)
    seen[present] = True
    return int(np.count_nonzero(seen)) == present.size


def _column(folder: Path, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    path = folder / f"{name}.npy"
    try:
        mapped = np.load(path, mmap_mode="r" if shape[0] else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BundleError(f"index file {name}.npy: {error}") from error
    if not isinstance(mapped, np.ndarray):
        raise BundleError(f"index file {name}.npy: holds an archive, expected one array")
    if mapped.shape != shape or mapped.dtype != dtype:
        found = f"{mapped.dtype} of shape {mapped.shape}"
        raise BundleError(f"index file {name}.npy: {found}, expected {np.dtype(dtype)} of shape {shape}")
    # A plain array over the same pages: the mapped class costs a Python call per slice.
    return np.asarray(mapped)

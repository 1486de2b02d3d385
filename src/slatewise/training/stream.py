"""Histories in a Parquet file, so that the towers can be trained on more interactions than fit into memory.

The file has the columns user, item, action and at (float64 seconds, NaN where unknown). A row group holds whole users,
sorted by user and each history oldest first; which users share one is decided by a hash, so any row group is a fair
sample of all. The counts per item stand in the file's metadata.
"""

from __future__ import annotations

import base64
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from slatewise.domain.columns import Interactions
from slatewise.domain.errors import InputError, TrainingError
from slatewise.training.material import Histories, HistoryChunks

ROW_GROUP = 250_000
"""Interactions per row group, about: what a pass holds in memory at a time."""

PARTITIONS = 256
"""Spill files; the largest one must fit into memory while it is sorted."""

BLOCK = 1_000_000
"""Interactions gathered before they are spilled, so that small blocks do not mean many small writes."""

FILE = "histories.parquet"

COUNTS, TIMED = b"slatewise.item_counts", b"slatewise.timed"

_COLUMNS = ("user", "item", "action", "at")
_SCHEMA = pa.schema([("user", pa.int64()), ("item", pa.int64()), ("action", pa.int64()), ("at", pa.float64())])
_SPILLED = np.dtype([("offset", "i8"), ("user", "i8"), ("item", "i8"), ("action", "i8"), ("at", "f8")])


class StreamedHistories:
    """Histories of a file that `write_histories` made, read one row group at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _opened(path) as file:
            said = file.metadata.metadata or {}
            if COUNTS not in said or TIMED not in said:
                raise TrainingError(f"{path} has no item counts: it was not made by write_histories")
            self._size: int = file.metadata.num_rows
            self._row_groups: int = file.metadata.num_row_groups
        self._timed = int(said[TIMED])
        self._counts = np.frombuffer(zlib.decompress(base64.b64decode(said[COUNTS])), np.int64)

    @property
    def size(self) -> int:
        return self._size

    @property
    def is_ordered(self) -> bool:
        return self._timed > 0.5 * self._size

    def counts(self, n_items: int) -> np.ndarray:
        if n_items < self._counts.size:
            raise InputError("n_items", n_items, f"at least {self._counts.size}, the items in {self.path.name}")
        return np.pad(self._counts, (0, n_items - self._counts.size))

    def chunks(self, rng: np.random.Generator) -> Iterator[Histories]:
        with _opened(self.path) as file:
            for group in rng.permutation(self._row_groups).tolist():
                # One thread: decoding is a hundredth of a pass, and torch wants the cores.
                yield _histories(file.read_row_group(group, columns=list(_COLUMNS), use_threads=False))


def write_histories(blocks: Iterable[Interactions], path: Path, row_group: int = ROW_GROUP) -> StreamedHistories:
    """Write interactions, given in blocks in any order, as a file of whole histories at *path*; return its reader.

    Memory is bounded by a block and one of `PARTITIONS` parts of all interactions, each sorted by itself; the parts
    lie beside *path* meanwhile, at 40 bytes per interaction. The file appears whole or not at all, replacing one of
    that name. Offsets order interactions of one time and are not kept, nor are values.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, folder = path.with_name(f"{path.name}.partial"), path.with_name(f"{path.name}.spill")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        said = _spill(blocks, folder)
        with pq.ParquetWriter(
            partial,
            _SCHEMA,
            compression="zstd",
            use_dictionary=["user", "action"],
            column_encoding={"item": "DELTA_BINARY_PACKED", "at": "BYTE_STREAM_SPLIT"},
        ) as file:
            for ordered in _sorted_parts(folder, row_group):
                for part in _cuts(ordered, row_group):
                    columns = [getattr(ordered, name)[part] for name in _COLUMNS]
                    file.write_table(pa.Table.from_arrays(columns, schema=_SCHEMA), row_group_size=len(columns[0]))
            file.add_key_value_metadata(said)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
    return StreamedHistories(path)


@contextmanager
def kept_histories(interactions: Interactions, work: Path | None, stream_from: int) -> Iterator[HistoryChunks]:
    """Give the histories of *interactions*: in memory, but where they are over *stream_from*, in a file in *work*.

    The file is removed in the end. Without a folder all stay in memory.
    """
    if work is None or len(interactions) <= stream_from:
        yield Histories.of(interactions)
        return
    blocks = (interactions.take(slice(lo, lo + BLOCK)) for lo in range(0, len(interactions), BLOCK))
    path = work / FILE
    try:
        yield write_histories(blocks, path)
    finally:
        path.unlink(missing_ok=True)


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise TrainingError(f"cannot read histories from {path}: {error}") from error


def _histories(table: pa.Table) -> Histories:
    user, item, action, at = (table.column(name).to_numpy() for name in _COLUMNS)
    return Histories.of_ordered(_interactions(np.arange(len(user)), user, item, action, at))


def _interactions(
    offset: np.ndarray, user: np.ndarray, item: np.ndarray, action: np.ndarray, at: np.ndarray
) -> Interactions:
    return Interactions(offset, user, item, action, at, np.full(len(offset), np.nan, np.float32))


def _spill(blocks: Iterable[Interactions], folder: Path) -> dict[bytes, bytes]:
    """Append every interaction to its user's part; return what the file's metadata says of all of them."""
    counts, timed = np.zeros(0, np.int64), 0
    for block in _gathered(blocks):
        seen = np.bincount(block["item"], minlength=counts.size)
        seen[: counts.size] += counts
        counts = seen
        timed += int(np.isfinite(block["at"]).sum())
        part = _part_of(block["user"])
        order = np.argsort(part, kind="stable")
        borders = np.searchsorted(part[order], np.arange(PARTITIONS + 1))
        for n, (lo, hi) in enumerate(zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True)):
            if hi > lo:
                with (folder / str(n)).open("ab") as file:
                    file.write(block[order[lo:hi]].tobytes())
    return {COUNTS: base64.b64encode(zlib.compress(counts.tobytes())), TIMED: str(timed).encode()}


def _part_of(user: np.ndarray) -> np.ndarray:
    """Hash users into parts (Fibonacci hashing): neighbours in the log of new users end up apart."""
    mixed = user.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(32)).astype(np.int64) % PARTITIONS


def _gathered(blocks: Iterable[Interactions]) -> Iterator[np.ndarray]:
    """Yield the interactions as records, at least `BLOCK` at a time but for the last."""
    held: list[np.ndarray] = []
    for block in blocks:
        records = np.empty(len(block), _SPILLED)
        for name in _SPILLED.names or ():
            records[name] = getattr(block, name)
        held.append(records)
        if sum(map(len, held)) >= BLOCK:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def _sorted_parts(folder: Path, row_group: int) -> Iterator[Interactions]:
    """Yield the parts in history order, small ones joined until they fill a row group."""
    held: list[np.ndarray] = []
    for n in range(PARTITIONS):
        if (folder / str(n)).exists():
            held.append(np.fromfile(folder / str(n), _SPILLED))
        is_full = sum(map(len, held)) >= row_group
        if held and (is_full or n == PARTITIONS - 1):
            records = np.concatenate(held)
            held = []
            offset, *others = (np.ascontiguousarray(records[name]) for name in ("offset", *_COLUMNS))
            yield Histories.of(_interactions(offset, *others)).ordered


def _cuts(ordered: Interactions, row_group: int) -> list[slice]:
    """Cut into about equal row groups of whole users."""
    start = np.append(np.flatnonzero(np.diff(ordered.user, prepend=-1)), len(ordered))
    groups = max(1, round(len(ordered) / row_group))
    wanted = np.linspace(0, len(ordered), groups + 1)
    border = np.unique(start[np.searchsorted(start, wanted)])
    return [slice(lo, hi) for lo, hi in zip(border[:-1].tolist(), border[1:].tolist(), strict=True)]

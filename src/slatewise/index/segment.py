"""A run of vectors as the kernel scans it: 8-bit codes in blocks of 16. Knows no lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Positions, Vectors
from slatewise.index.kernel import kernel

LANES = 16
NEVER = np.iinfo(np.int64).max
LINE = 64
"""Bytes of a cache line: a block that starts inside of one costs a second load per line."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Columns by position; position p is lane p % 16 of block p // 16.

    ``codes`` are unsigned bytes, 16 lanes of 4 dimensions a group; ``scales`` what a code of 1 is worth; ``rows`` -1
    for padding. ``deaths`` is the change with which a position stopped counting, looked at only where its bit in
    ``hints`` is set, so that a scan of living vectors reads neither.
    """

    codes: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.float32]
    vectors: Vectors
    rows: npt.NDArray[np.int32]
    deaths: npt.NDArray[np.int64]
    hints: npt.NDArray[np.uint16]
    handle: Any
    """The kernel's view of the same memory."""

    @property
    def positions(self) -> int:
        return int(self.rows.size)

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    def alive(self, at: int, first: int = 0, end: int | None = None) -> Positions:
        """Return the positions in ``[first, end)`` that count at the change *at*, ascending."""
        part = slice(first, self.positions if end is None else end)
        return first + np.flatnonzero((self.deaths[part] > at) & (self.rows[part] >= 0))

    def bury(self, positions: Positions, at: int) -> None:
        """Let *positions* stop counting with the change *at*, which nobody has been shown yet."""
        if not positions.size:
            return
        self.deaths[positions] = at
        # After the stamp: whoever meets the bit finds it.
        block, bit = positions // LANES, (1 << (positions % LANES)).astype(np.uint16)
        if positions.size == 1:
            self.hints[block] |= bit
        else:
            np.bitwise_or.at(self.hints, block, bit)

    def place(self, vectors: Vectors, targets: Positions, sources: Positions | None = None) -> None:
        """Write ``vectors[sources]`` (all, where None) to *targets*, with codes and scales."""
        kernel.place(self.handle, vectors, sources, targets)


def padding(blocks: int, dim: int) -> Segment:
    """Return a segment of which nothing counts until it is written and its ``hints`` say so."""
    positions = blocks * LANES
    return seen_by_kernel(
        aligned((blocks * block_bytes(dim),), np.uint8),
        aligned((positions,), np.float32),
        aligned((positions, dim), np.float32),
        np.full(positions, -1, np.int32),
        np.zeros(positions, np.int64),
        np.full(blocks, 0xFFFF, np.uint16),
        writable=True,
    )


def seen_by_kernel(
    codes: npt.NDArray[np.uint8],
    scales: npt.NDArray[np.float32],
    vectors: Vectors,
    rows: npt.NDArray[np.int32],
    deaths: npt.NDArray[np.int64],
    hints: npt.NDArray[np.uint16],
    *,
    writable: bool,
) -> Segment:
    """Return the segment of these columns. Raises ValueError where their sizes do not fit together."""
    handle = kernel.segment(codes, scales, vectors, rows, deaths, hints, vectors.shape[1], hints.size, writable)
    return Segment(codes, scales, vectors, rows, deaths, hints, handle)


def living_hints(rows: npt.NDArray[np.int32]) -> npt.NDArray[np.uint16]:
    """Return hints that set only the padding apart."""
    lanes = (rows < 0).reshape(-1, LANES)
    return np.packbits(lanes, axis=1, bitorder="little").view(np.uint16).ravel()


def block_bytes(dim: int) -> int:
    """Return the bytes of one block's codes."""
    return -(-dim // 4) * 4 * LANES


def aligned(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return zeros that start at a cache line; pages that are never written cost no memory."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    return raw[start : start + size].view(dtype).reshape(shape)

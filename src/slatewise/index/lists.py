"""Inverted lists: a segment ordered by the cluster of its vectors, and what says which lists to scan for a query.

After Sivic & Zisserman's inverted file over k-means cells (https://doi.org/10.1109/ICCV.2003.1238663), with cells of
directions, because products are compared and not distances.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slatewise.domain.ids import Positions, Rows, Vectors
from slatewise.index.kernel import kernel
from slatewise.index.segment import LANES, NEVER, Segment, living_hints, padding

SAMPLE = 40
"""Vectors per list that the clustering looks at."""

BEYOND = 2.0
"""Standard deviations by which the best of a list are expected beyond its mean (measured: half a point of recall)."""

ROUNDS = 8
PART = 65_536
"""Vectors that one thread takes at a time."""

Cells = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Lists:
    """Which blocks belong to which list, and how lists are ranked for a query.

    ``centroids`` ``(lists, d)`` of unit length assign vectors; ``means`` ``(lists, d)`` and ``spread`` ``(lists,)``
    rank the lists for a query: by its product with the mean, plus its length times the spread. ``offsets``
    ``(lists + 1,)`` in blocks.
    """

    centroids: Vectors
    means: Vectors
    spread: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.int64]
    handle: Any

    def __len__(self) -> int:
        return self.offsets.size - 1

    def of_positions(self, positions: Positions) -> Cells:
        """Return the list of each of these positions."""
        of_block = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.offsets))
        found: Cells = of_block[positions // LANES]
        return found


@dataclass(frozen=True, slots=True)
class Source:
    """Vectors to be ordered: those of ``vectors`` at ``positions``, with their rows and lists."""

    vectors: Vectors
    positions: Positions
    rows: Rows
    cells: Cells


def usual_lists(size: int) -> int:
    """Return how many lists suit *size* vectors: a power of two near twice the root, and 1 where a scan is as fast."""
    most = min(size / 256, 2 * np.sqrt(size))
    return int(2 ** round(np.log2(most))) if most >= 2 else 1


def cluster(vectors: Vectors, lists: int, rng: np.random.Generator, threads: int = 1) -> Vectors:
    """Return unit centroids ``(lists, d)`` of the directions of *vectors*: spherical k-means on a sample.

    Dhillon & Modha, https://doi.org/10.1023/A:1007612920971.
    """
    sample = min(len(vectors), lists * SAMPLE)
    chosen = np.sort(rng.choice(len(vectors), sample, replace=False))
    directions = _unit(np.take(vectors, chosen, axis=0))
    centroids = directions[rng.choice(sample, lists, replace=sample < lists)].copy()
    for _ in range(ROUNDS if lists > 1 else 1):
        cells = assign(directions, centroids, threads)
        member = sp.csr_array((np.ones(sample, np.float32), (cells, np.arange(sample))), (lists, sample))
        sums: Vectors = member @ directions
        used = np.diff(member.indptr) > 0
        # A cell that lost all its vectors starts again from one of them.
        centroids = directions[rng.integers(0, sample, lists)].copy()
        centroids[used] = sums[used]
        centroids = _unit(centroids)
    return centroids


def assign(vectors: Vectors, centroids: Vectors, threads: int = 1) -> Cells:
    """Return per vector the centroid with the largest inner product, in the precision of the codes."""
    cells = np.empty(len(vectors), np.int32)
    if len(centroids) == 1:
        cells[:] = 0
        return cells
    handle = _handle(centroids, np.zeros(len(centroids), np.float32), np.zeros(len(centroids) + 1, np.int64))
    vectors = np.ascontiguousarray(vectors)

    def part(start: int) -> None:
        stop = start + PART
        kernel.assign(handle, vectors[start:stop], vectors.shape[1], cells[start:stop])

    _in_parts(part, len(vectors), threads)
    return cells


def ordered(sources: list[Source], centroids: Vectors, threads: int = 1) -> tuple[Segment, Lists, list[Positions]]:
    """Return a segment of these vectors by list, its lists, and per source the position of each of its vectors."""
    cells = np.concatenate([source.cells for source in sources])
    offsets, positions = np.empty(len(centroids) + 1, np.int64), np.empty(cells.size, np.int64)
    kernel.layout(cells, offsets, positions)
    segment = padding(int(offsets[-1]), centroids.shape[1])
    done, targets = 0, []
    for source in sources:
        target = positions[done : done + source.positions.size]
        done += target.size
        targets.append(target)
        _in_parts(_placing(segment, source, target), target.size, threads)
        segment.rows[target] = source.rows
        segment.deaths[target] = NEVER
    segment.hints[:] = living_hints(segment.rows)
    return segment, lists_of(centroids, segment, offsets), targets


def lists_of(centroids: Vectors, segment: Segment, offsets: npt.NDArray[np.int64]) -> Lists:
    """Return the lists over *segment*, with the mean of what lies in each."""
    sizes = np.zeros(len(centroids), np.int64)
    used = np.flatnonzero(np.diff(offsets))
    means, spread = np.zeros_like(centroids), np.zeros(len(centroids), np.float32)
    if used.size:
        sizes[used] = np.add.reduceat(segment.rows >= 0, offsets[used] * LANES)
        # In parts: one sum over all would hold the interpreter for tenths of a second.
        for some in np.array_split(used, max(1, used.size // 64)):
            first, last = offsets[some[0]] * LANES, offsets[some[-1] + 1] * LANES
            part = segment.vectors[first:last]
            starts = offsets[some] * LANES - first
            means[some] = np.add.reduceat(part, starts, axis=0) / sizes[some, None]
            square = np.add.reduceat(np.vecdot(part, part), starts) / sizes[some]
            variance = (square - np.vecdot(means[some], means[some])) / part.shape[1]
            spread[some] = BEYOND * np.sqrt(np.maximum(variance, 0))
    return lists_of_columns(centroids, means, spread, offsets)


def lists_of_columns(
    centroids: Vectors, means: Vectors, spread: npt.NDArray[np.float32], offsets: npt.NDArray[np.int64]
) -> Lists:
    """Return lists of these columns. Raises ValueError where they do not fit together."""
    return Lists(centroids, means, spread, offsets, _handle(means, spread, offsets))


def _handle(means: Vectors, spread: npt.NDArray[np.float32], offsets: npt.NDArray[np.int64]) -> Any:
    coded = padding(-(-len(means) // LANES), means.shape[1])
    coded.place(np.ascontiguousarray(means), np.arange(len(means)))
    return kernel.lists(coded.codes, coded.scales, spread, offsets, means.shape[1])


def _placing(segment: Segment, source: Source, target: Positions) -> Callable[[int], None]:
    def part(start: int) -> None:
        stop = start + PART
        segment.place(source.vectors, target[start:stop], source.positions[start:stop])

    return part


def _in_parts(work: Callable[[int], None], size: int, threads: int) -> None:
    starts = range(0, size, PART)
    if threads > 1 and len(starts) > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, starts))
    else:
        for start in starts:
            work(start)


def _unit(vectors: Vectors) -> Vectors:
    length = np.sqrt(np.vecdot(vectors, vectors))[:, None]
    unit: Vectors = vectors / np.maximum(length, np.finfo(np.float32).tiny)
    return unit

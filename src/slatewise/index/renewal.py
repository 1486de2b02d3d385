"""Makes the lists anew from what lives: with the old centroids, or new ones where much has changed. Holds no lock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slatewise.domain.ids import Positions, Rows, Vectors
from slatewise.index.lists import Lists, Source, assign, cluster, ordered, usual_lists
from slatewise.index.segment import Segment

CHANGED_SHARE = 0.3
"""Changes since the clustering, as a part of all vectors, after which directions are clustered anew."""

SEED = 20_250_101


@dataclass(frozen=True, slots=True)
class Renewed:
    """Lists of what was alive at one moment, and where each vector went."""

    base: Segment
    lists: Lists
    position_of: Positions
    """Per row its position in ``base``, or -1."""
    live: int
    changed: int
    """Changes since the centroids were made."""
    sources: tuple[tuple[Positions, Positions], ...] = ()
    """Old positions, ascending (those of the fresh segment follow the base's), and the new ones."""

    def moved(self, old: Positions) -> Positions:
        """Return the new positions of *old* ones that were alive at that moment."""
        before = np.concatenate([source for source, _ in self.sources])
        after = np.concatenate([target for _, target in self.sources])
        found: Positions = after[np.searchsorted(before, old)]
        return found


def reopened(base: Segment, lists: Lists, changed: int) -> Renewed:
    """Return a segment and its lists as they were saved: all but the padding is alive."""
    position_of = np.full(int(base.rows.max(initial=-1)) + 1, -1)
    at = np.flatnonzero(base.rows >= 0)
    position_of[base.rows[at]] = at
    return Renewed(base, lists, position_of, at.size, changed)


def grouped(rows: Rows, vectors: Vectors, lists: int, threads: int = 1, *, centroids: Vectors | None = None) -> Renewed:
    """Cluster *vectors* ``(n, d)`` into *lists* (0: as many as suit their number); the same input, the same lists.

    *centroids* ``(lists, d)`` are taken as they are.
    """
    every = Source(np.ascontiguousarray(vectors), np.arange(len(rows)), rows, np.empty(0, np.int32))
    centroids = _centroids([every], lists, threads) if centroids is None else centroids
    return _made([every], centroids, threads, 0, ())


def renewed(
    base: Segment,
    lists: Lists,
    fresh: Segment,
    length: int,
    at: int,
    added: tuple[Rows, Vectors] | None,
    *,
    changed: int,
    wanted: int,
    threads: int = 1,
) -> Renewed:
    """Return lists of what is alive at the change *at* in *base* and the first *length* of *fresh*, and of *added*.

    Rows of *added* replace those before. *wanted*: how many lists, 0 for as many as suit.
    """
    old, new = base.alive(at), fresh.alive(at, end=length)
    if added is not None:
        old = old[np.isin(base.rows[old], added[0], invert=True)]
        new = new[np.isin(fresh.rows[new], added[0], invert=True)]
    sources = [
        Source(base.vectors, old, base.rows[old].astype(np.int64), lists.of_positions(old)),
        Source(fresh.vectors, new, fresh.rows[new].astype(np.int64), np.empty(0, np.int32)),
    ]
    if added is not None:
        sources.append(Source(added[1], np.arange(added[0].size), added[0], np.empty(0, np.int32)))
    live = sum(source.rows.size for source in sources)
    stays = changed <= CHANGED_SHARE * live and len(lists) == (wanted or usual_lists(live))
    centroids = lists.centroids if stays else _centroids(sources, wanted, threads)
    moves = (old, new + base.positions)
    return _made(sources, centroids, threads, changed if stays else 0, moves, keep_first=stays)


def _centroids(sources: list[Source], lists: int, threads: int) -> Vectors:
    live = sum(source.rows.size for source in sources)
    wanted = min(lists or usual_lists(live), max(live, 1))
    if live == 0:
        return np.zeros((1, sources[0].vectors.shape[1]), np.float32)
    rng = np.random.default_rng(SEED)
    if len(sources) == 1 and sources[0].positions.size == len(sources[0].vectors):
        return cluster(sources[0].vectors, wanted, rng, threads)
    # A sample of each in proportion: clustering looks at no more.
    most = 80 * wanted
    parts = [
        np.take(source.vectors, np.sort(rng.choice(source.positions, size, replace=False)), axis=0)
        for source in sources
        if (size := min(source.positions.size, int(np.ceil(most * source.positions.size / live))))
    ]
    return cluster(np.concatenate(parts), wanted, rng, threads)


def _made(
    sources: list[Source],
    centroids: Vectors,
    threads: int,
    changed: int,
    moves: tuple[Positions, ...],
    *,
    keep_first: bool = False,
) -> Renewed:
    assigned = [
        source if keep_first and i == 0 else _assigned(source, centroids, threads) for i, source in enumerate(sources)
    ]
    base, lists, targets = ordered(assigned, centroids, threads)
    position_of = np.full(max((int(s.rows.max(initial=-1)) for s in sources), default=-1) + 1, -1)
    for source, target in zip(sources, targets, strict=True):
        position_of[source.rows] = target
    live = sum(source.rows.size for source in sources)
    return Renewed(base, lists, position_of, live, changed, tuple(zip(moves, targets, strict=False)))


def _assigned(source: Source, centroids: Vectors, threads: int) -> Source:
    if source.positions.size == len(source.vectors):
        return Source(source.vectors, source.positions, source.rows, assign(source.vectors, centroids, threads))
    cells = np.empty(source.positions.size, np.int32)
    for start in range(0, cells.size, 65_536):
        part = source.positions[start : start + 65_536]
        cells[start : start + part.size] = assign(np.take(source.vectors, part, axis=0), centroids, threads)
    return Source(source.vectors, source.positions, source.rows, cells)

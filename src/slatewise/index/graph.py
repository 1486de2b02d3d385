"""One frozen HNSW graph (usearch) over vectors named by birth. Knows nothing of rows, or of when to be renewed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime  # noqa: F401  must be loaded before usearch: the other order crashes the interpreter
from usearch.index import Index

from slatewise.domain.errors import BundleError
from slatewise.domain.ids import Vectors
from slatewise.domain.settings import IndexSettings
from slatewise.index.store import View

FILE = "graph.usearch"
DEAD_SHARE = 1 / 3
"""Share of dead nodes above which a graph is built anew instead of extended."""
REACH = 32
"""Among how many neighbours of its own vector a node must turn up to count as reachable."""
CHUNK = 16_384

Births = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Graph:
    """A neighbourhood graph of Malkov & Yashunin, https://arxiv.org/abs/1603.09320, by inner product, in float32.

    Never changed once made, only copied and extended: usearch guards each index with one lock, so readers of a graph
    under change would wait for its writer. Dead vectors stay as waypoints until the graph is built anew: where usearch
    reuses their nodes, up to 2 in 100 others can no longer be found (measured after replacing every vector once).
    """

    index: Index
    births: Births
    """Its keys, ascending; dead ones included."""
    at: int
    """The change up to which it is complete."""
    unreached: Births
    """Keys that a search for their own vector did not find; the caller scores them itself."""

    @classmethod
    def empty(cls, dim: int, settings: IndexSettings) -> Graph:
        return cls(_fresh(dim, settings), np.empty(0, np.int64), 0, np.empty(0, np.int64))

    def near(self, query: Vectors, width: int) -> Births:
        """Return about the *width* nearest births and the unreached ones, ascending."""
        if not self.births.size:
            return self.births
        found = self.index.search(query, min(width, self.births.size), threads=1)
        return np.union1d(np.asarray(found.keys).astype(np.int64), self.unreached)

    def extended(self, view: View, settings: IndexSettings, threads: int) -> Graph:
        """Return a graph of all vectors alive in *view*. *threads*: more than 1 is not repeatable, 0 uses all cores."""
        alive = view.birth[np.flatnonzero(view.alive(slice(view.length)))]
        added = alive[alive > self.at]
        dead = self.births.size - (alive.size - added.size)
        if dead > DEAD_SHARE * (self.births.size + added.size):
            return Graph.empty(view.vectors.shape[1], settings)._with(view, alive, threads)
        return self._with(view, added, threads)

    def _with(self, view: View, added: Births, threads: int) -> Graph:
        index = self.index.copy()
        vectors = np.take(view.vectors, view.born(added), axis=0)
        if added.size:
            index.add(added.astype(np.uint64), vectors, threads=threads)
        lost = [
            added[start : start + CHUNK][~_reachable(index, added[start : start + CHUNK], part, threads)]
            for start in range(0, added.size, CHUNK)
            if (part := vectors[start : start + CHUNK]).size
        ]
        births = np.concatenate((self.births, added))
        return Graph(index, births, view.at, np.concatenate((self.unreached, *lost)))

    def save(self, folder: Path) -> None:
        """Write the graph into *folder*, but for ``at`` and ``unreached``."""
        self.index.save(str(folder / FILE))

    @classmethod
    def load(cls, folder: Path, dim: int, at: int, unreached: Births, settings: IndexSettings) -> Graph:
        """Return the graph saved in *folder*. Raises BundleError where it is missing, damaged or of another width."""
        path = folder / FILE
        if not path.is_file():
            raise BundleError(f"index file {FILE}: missing")
        try:
            found = Index.metadata(str(path)) or {}
            if found.get("dimensions") != dim:
                raise BundleError(f"index file {FILE}: width {found.get('dimensions')}, expected {dim}")
            index = _fresh(dim, settings)
            index.load(str(path))
        except (RuntimeError, ValueError) as error:
            raise BundleError(f"index file {FILE}: {error}") from error
        births = np.sort(np.asarray(index.keys).astype(np.int64)) if len(index) else np.empty(0, np.int64)
        return cls(index, births, at, unreached)


def _reachable(index: Index, births: Births, vectors: Vectors, threads: int) -> npt.NDArray[np.bool_]:
    """Return per vector whether a search for it finds it, or enough others that are as near."""
    found = index.search(vectors, min(REACH, len(index)), threads=threads)
    keys, distance = np.atleast_2d(np.asarray(found.keys)), np.atleast_2d(np.asarray(found.distances))
    own = 1.0 - np.vecdot(vectors, vectors)
    itself: npt.NDArray[np.bool_] = (keys.astype(np.int64) == births[:, None]).any(axis=1)
    itself |= distance[:, -1] <= own + 1e-6
    return itself


def _fresh(dim: int, settings: IndexSettings) -> Index:
    return Index(
        ndim=dim,
        metric="ip",
        dtype="f32",
        connectivity=settings.connectivity,
        expansion_add=settings.expansion_add,
        expansion_search=settings.expansion_search,
    )

"""One frozen HNSW graph (usearch) over vectors named by birth. Knows nothing of rows, readers or when to renew itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from usearch.index import Index

from slatewise.domain.errors import BundleError
from slatewise.domain.ids import Vectors
from slatewise.domain.settings import IndexSettings
from slatewise.index.store import View

FILE = "graph.usearch"


@dataclass(frozen=True, slots=True)
class Graph:
    """A neighbourhood graph of Malkov & Yashunin, https://arxiv.org/abs/1603.09320, by inner product, in float32.

    Never changed once made, only copied and extended: usearch guards each index with one lock, so readers of a graph
    under change would wait for its writer. ``births`` are its keys, ascending; ``at`` the change up to which it is
    complete; ``nodes`` counts the removed ones too, which stay as waypoints until an addition takes their place.
    """

    index: Index
    births: npt.NDArray[np.int64]
    at: int
    nodes: int

    @classmethod
    def empty(cls, dim: int, settings: IndexSettings) -> Graph:
        return cls(_fresh(dim, settings), np.empty(0, np.int64), 0, 0)

    def near(self, query: Vectors, width: int) -> npt.NDArray[np.int64]:
        """Return about the *width* nearest births, in no promised order."""
        if not self.births.size:
            return np.empty(0, np.int64)
        found = self.index.search(query, min(width, self.births.size), threads=1)
        return np.asarray(found.keys).astype(np.int64)

    def extended(self, view: View, settings: IndexSettings, threads: int) -> Graph:
        """Return a graph of exactly the vectors alive in *view*. *threads*: 0 uses all cores and is not repeatable."""
        slots = np.flatnonzero(view.alive(slice(view.length)))
        births = view.birth[slots]
        gone = np.setdiff1d(self.births, births, assume_unique=True)
        kept = self.births.size - gone.size
        if kept >= self.nodes / 2:
            index, new, nodes = self.index.copy(), slots[births > self.at], self.nodes
            if gone.size:
                index.remove(gone)
        else:
            # More waypoints than vectors slow every search: cheaper to build anew from the few that are left.
            index, new, nodes = _fresh(view.vectors.shape[1], settings), slots, 0
        if new.size:
            index.add(view.birth[new].astype(np.uint64), np.take(view.vectors, new, axis=0), threads=threads)
        return Graph(index, births, view.at, max(nodes, births.size))

    def save(self, folder: Path) -> None:
        """Write the graph into *folder*."""
        self.index.save(str(folder / FILE))

    @classmethod
    def load(cls, folder: Path, dim: int, at: int, settings: IndexSettings) -> Graph:
        """Return the graph saved in *folder*. Raises BundleError where it is missing or of another width."""
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
        index.expansion_add, index.expansion_search = settings.expansion_add, settings.expansion_search
        births = np.sort(np.asarray(index.keys).astype(np.int64)) if len(index) else np.empty(0, np.int64)
        return cls(index, births, at, births.size)


def _fresh(dim: int, settings: IndexSettings) -> Index:
    return Index(
        ndim=dim,
        metric="ip",
        dtype="f32",
        connectivity=settings.connectivity,
        expansion_add=settings.expansion_add,
        expansion_search=settings.expansion_search,
    )

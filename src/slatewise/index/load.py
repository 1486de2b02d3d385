"""Opens a saved index, whichever kind it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from slatewise.domain.errors import BundleError
from slatewise.domain.settings import IndexSettings
from slatewise.index.build import build_index
from slatewise.index.exact import ExactIndex
from slatewise.index.files import read_store
from slatewise.index.graph import Graph
from slatewise.index.hnsw import HnswIndex
from slatewise.ports.index import VectorIndex


def load_index(folder: Path, settings: IndexSettings) -> VectorIndex:
    """Return the index saved in *folder*, ready for searches and writes.

    Where settings now ask for another kind than was saved, it is built from the saved vectors. A graph keeps the
    connectivity it was built with. Raises BundleError naming the file that is missing or does not match.
    """
    header, store = read_store(folder)
    if settings.kind not in ("auto", header.kind):
        view = store.view
        return build_index(view.row, view.vectors, settings)
    if header.kind == ExactIndex.kind:
        return ExactIndex(header.dim, store)
    if header.kind != HnswIndex.kind or header.graph is None:
        raise BundleError(f"index file index.json: unknown kind {header.kind!r}")
    unreached = np.asarray(header.graph.unreached, np.int64)
    graph = Graph.load(folder, header.dim, header.graph.at, unreached, settings)
    return HnswIndex(header.dim, settings, store, graph)

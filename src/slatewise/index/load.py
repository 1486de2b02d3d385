"""Opens a saved index, whichever kind it is."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from slatewise.domain.errors import BundleError
from slatewise.domain.settings import IndexSettings
from slatewise.index.build import build_index
from slatewise.index.exact import ExactIndex
from slatewise.index.files import HEADER, read_store
from slatewise.index.graph import Graph
from slatewise.index.hnsw import HnswIndex
from slatewise.index.ivf import IvfIndex
from slatewise.index.ivf_files import read_ivf
from slatewise.index.renewal import reopened
from slatewise.index.servers import SERVERS
from slatewise.ports.index import VectorIndex


class _Kind(msgspec.Struct):
    kind: str


def load_index(folder: Path, settings: IndexSettings) -> VectorIndex:
    """Return the index saved in *folder*, ready for searches and writes.

    Where settings now ask for another kind than was saved, it is built from the saved vectors. Graphs and lists keep
    what they were built with. Raises BundleError naming the file that is missing or does not match.
    """
    kind = _saved_kind(folder)
    stays = settings.kind in ("auto", kind)
    if stays and kind in SERVERS:
        return SERVERS[kind].load(folder, settings)
    make = SERVERS[settings.kind].adopt if settings.kind in SERVERS else build_index
    if kind == IvfIndex.kind:
        ivf = _ivf(folder, settings)
        return ivf if stays else make(*ivf.columns(), settings)
    header, store = read_store(folder)
    if not stays:
        return make(store.view.row, store.view.vectors, settings)
    if kind == ExactIndex.kind:
        return ExactIndex(header.dim, store)
    if kind != HnswIndex.kind or header.graph is None:
        raise BundleError(f"index file {HEADER}: unknown kind {kind!r}")
    unreached = np.asarray(header.graph.unreached, np.int64)
    graph = Graph.load(folder, header.dim, header.graph.at, unreached, settings)
    return HnswIndex(header.dim, settings, store, graph)


def _saved_kind(folder: Path) -> str:
    try:
        return msgspec.json.decode((folder / HEADER).read_bytes(), type=_Kind).kind
    except (OSError, msgspec.MsgspecError) as error:
        raise BundleError(f"index file {HEADER}: {error}") from error


def _ivf(folder: Path, settings: IndexSettings) -> IvfIndex:
    header, base, lists, queries = read_ivf(folder)
    return IvfIndex(header.dim, settings, reopened(base, lists, header.changed), header.plan, queries)

"""The index in a PostgreSQL with pgvector: which search is worth what. Knows no statements."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from slatewise.domain.ids import Mask, Rows, Scores, Vectors
from slatewise.domain.settings import IndexSettings
from slatewise.index.checks import checked_allow, checked_query, checked_rows, checked_vectors
from slatewise.index.pgvector_pool import open_pool
from slatewise.index.pgvector_table import WIDEST_WALK, Table
from slatewise.index.remote import Saved, named_by_content, new_name, read_saved, write_saved

FEW = 5_000
"""Permitted rows up to which they are looked up one by one; measured among 100,000, 9 ms against 17 ms for a walk."""


class PgvectorIndex:
    """Searches a table on the server, exactly up to ``exact_up_to`` rows and through pgvector's graph above.

    The server's snapshots give what the port asks for: a search is one statement and sees every upsert whole or not at
    all, no row is missing while it is replaced, and nobody waits for a writer. Every write may be repeated. Whether
    there is a graph is decided when the collection is made or opened; one that grows is scanned until then.
    """

    kind = "pgvector"

    def __init__(self, dim: int, settings: IndexSettings, saved: Saved | None = None) -> None:
        start = saved or Saved(new_name(), np.empty(0, np.int64), np.empty((0, dim), np.float32))
        self._dim = dim
        self._table = Table(open_pool(settings.url), start.collection, dim, settings)
        self._table.ensure(start.rows, start.vectors)

    @property
    def is_exact(self) -> bool:
        return not self._table.has_graph

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def collection(self) -> str:
        """The table's name."""
        return self._table.name

    def __len__(self) -> int:
        return self._table.count()

    def search(self, query: Vectors, k: int, allow: Mask | None = None) -> tuple[Rows, Scores]:
        query, allow = checked_query(query, self._dim), checked_allow(allow)
        if k <= 0 or (allow is not None and not allow.any()):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if allow is not None and np.count_nonzero(allow) <= FEW:
            return self._table.scan_among(np.flatnonzero(allow), query, k)
        if self._table.has_graph and k <= WIDEST_WALK // 2:
            rows, scores = self._table.walk(query, k, allow)
            if rows.size == k:
                return rows, scores
        # Either there are no more than these, or they lie too far apart for a walk; a scan knows.
        return self._table.scan(query, k, allow)

    def search_exactly(self, query: Vectors, k: int, allow: Mask | None = None) -> tuple[Rows, Scores]:
        """Return what `search` does, without the graph."""
        query, allow = checked_query(query, self._dim), checked_allow(allow)
        if k <= 0:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        return self._table.scan(query, k, allow)

    def upsert(self, rows: Rows, vectors: Vectors) -> None:
        rows, vectors = checked_vectors(rows, vectors, self._dim)
        if rows.size:
            self._table.upsert(rows, vectors)

    def remove(self, rows: Rows) -> None:
        rows = checked_rows(rows)
        # Others were never there, and would not fit into the column.
        rows = rows[(rows >= 0) & (rows <= np.iinfo(np.int32).max)]
        if rows.size:
            self._table.remove(rows)

    def save(self, folder: Path) -> None:
        rows, vectors = self._table.read()
        write_saved(folder, self.kind, Saved(self._table.name, rows, vectors))

    def drop(self) -> None:
        """Delete the collection on the server. The index is of no use afterwards."""
        self._table.drop()


def build_pgvector(rows: Rows, vectors: Vectors, settings: IndexSettings) -> PgvectorIndex:
    """Return an index of these vectors, shape ``(n, d)``, in a new collection on the server at ``settings.url``.

    Raises InputError for a url that cannot be right, StorageError where the server is away or refuses.
    """
    dim = np.shape(vectors)[1]
    rows, vectors = checked_vectors(rows, vectors, dim)
    return PgvectorIndex(dim, settings, Saved(new_name(), rows, vectors))


def load_pgvector(folder: Path, settings: IndexSettings) -> PgvectorIndex:
    """Return the index that `PgvectorIndex.save` wrote; its collection is made again where the server has none.

    Raises BundleError naming the file that is missing or does not match, otherwise like `build_pgvector`.
    """
    saved = read_saved(folder, PgvectorIndex.kind)
    return PgvectorIndex(saved.vectors.shape[1], settings, saved)


def adopt_pgvector(rows: Rows, vectors: Vectors, settings: IndexSettings) -> PgvectorIndex:
    """Return an index of vectors that another kind of index saved: the same collection in every process.

    Raises like `build_pgvector`.
    """
    dim = np.shape(vectors)[1]
    rows, vectors = checked_vectors(rows, vectors, dim)
    return PgvectorIndex(dim, settings, named_by_content(PgvectorIndex.kind, rows, vectors))

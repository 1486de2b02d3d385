"""The index in Milvus: which search is worth what. Knows no calls."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from slatewise.domain.ids import Mask, Rows, Scores, Vectors
from slatewise.domain.ordering import top
from slatewise.domain.settings import IndexSettings
from slatewise.index.checks import checked_allow, checked_query, checked_rows, checked_vectors
from slatewise.index.milvus_collection import MOST, Collection
from slatewise.index.milvus_server import Server
from slatewise.index.remote import Saved, named_by_content, new_name, read_saved, write_saved

FEW = 5_000
"""Permitted rows up to which the server is told them one by one."""


class MilvusIndex:
    """Searches a collection on the server: flat where it was made of up to ``exact_up_to`` rows, a graph above.

    The server gives what the port asks for: a search sees an upsert whole or not at all, as far as it fits into one
    message, and no row is missing while it is replaced. On a file of Milvus Lite, calls wait for each other instead.
    Every write may be repeated.
    """

    kind = "milvus"

    def __init__(self, dim: int, settings: IndexSettings, saved: Saved | None = None) -> None:
        start = saved or Saved(new_name(), np.empty(0, np.int64), np.empty((0, dim), np.float32))
        self._dim = dim
        self._collection = Collection(Server(settings.url), start.collection, dim, settings)
        self._collection.ensure(start.rows, start.vectors)

    @property
    def is_exact(self) -> bool:
        return self._collection.is_flat

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def collection(self) -> str:
        """The collection's name."""
        return self._collection.name

    def __len__(self) -> int:
        return self._collection.count()

    def search(self, query: Vectors, k: int, allow: Mask | None = None) -> tuple[Rows, Scores]:
        query, allow = checked_query(query, self._dim), checked_allow(allow)
        if k <= 0 or (allow is not None and not allow.any()):
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if allow is None:
            return self._nearest(query, k)
        permitted = np.flatnonzero(allow)
        if permitted.size <= FEW:
            return self._among(permitted, query, k)
        found = self._nearest_permitted(query, k, allow, permitted.size)
        return self._among(permitted, query, k) if found is None else found

    def upsert(self, rows: Rows, vectors: Vectors) -> None:
        rows, vectors = checked_vectors(rows, vectors, self._dim)
        if rows.size:
            self._collection.upsert(rows, vectors)

    def remove(self, rows: Rows) -> None:
        rows = checked_rows(rows)
        rows = np.unique(rows[rows >= 0])
        if rows.size:
            self._collection.remove(rows)

    def save(self, folder: Path) -> None:
        rows, vectors = self._collection.read()
        write_saved(folder, self.kind, Saved(self._collection.name, rows, vectors))

    def drop(self) -> None:
        """Delete the collection on the server. The index is of no use afterwards."""
        self._collection.drop()

    def _nearest(self, query: Vectors, k: int) -> tuple[Rows, Scores]:
        if k <= MOST:
            rows, scores = self._collection.search(query, k)
            if rows.size == k or self._collection.is_flat:
                return _best(rows, scores, k)
        # More than one search may return, or a graph that could not reach as many as there are.
        return self._among(self._collection.rows(), query, k)

    def _nearest_permitted(self, query: Vectors, k: int, allow: Mask, permitted: int) -> tuple[Rows, Scores] | None:
        """Return the best *k* from more and more of the nearest rows; None where they lie too far for that."""
        # Twice as many as are needed if the permitted ones lie everywhere.
        limit = 2 * k * allow.size // permitted
        while limit <= MOST:
            rows, scores = self._collection.search(query, limit)
            ok = rows < allow.size
            ok[ok] = allow[rows[ok]]
            if np.count_nonzero(ok) >= k or (rows.size < limit and self._collection.is_flat):
                return _best(rows[ok], scores[ok], k)
            limit *= 4
        return None

    def _among(self, permitted: Rows, query: Vectors, k: int) -> tuple[Rows, Scores]:
        """Return the best *k* of these rows, as many at a time as one search may return."""
        parts = [permitted[start : start + MOST] for start in range(0, permitted.size, MOST)]
        found = [self._among_some(part, query, min(k, part.size)) for part in parts]
        rows = np.concatenate([rows for rows, _ in found] or [np.empty(0, np.int64)])
        scores = np.concatenate([scores for _, scores in found] or [np.empty(0, np.float32)])
        return _best(rows, scores, k)

    def _among_some(self, permitted: Rows, query: Vectors, k: int) -> tuple[Rows, Scores]:
        rows, scores = self._collection.search(query, k, permitted)
        if rows.size == k or self._collection.is_flat:
            return rows, scores
        # Some are gone, or the graph lost its way among rows that are not permitted: seen with Milvus Lite.
        rows, vectors = self._collection.read_among(permitted)
        return rows, np.vecdot(vectors, query)


def build_milvus(rows: Rows, vectors: Vectors, settings: IndexSettings) -> MilvusIndex:
    """Return an index of these vectors, shape ``(n, d)``, in a new collection on the server at ``settings.url``.

    Raises InputError for a url that cannot be right, StorageError where the server is away or refuses.
    """
    dim = np.shape(vectors)[1]
    rows, vectors = checked_vectors(rows, vectors, dim)
    return MilvusIndex(dim, settings, Saved(new_name(), rows, vectors))


def load_milvus(folder: Path, settings: IndexSettings) -> MilvusIndex:
    """Return the index that `MilvusIndex.save` wrote; its collection is made again where the server has none.

    Raises BundleError naming the file that is missing or does not match, otherwise like `build_milvus`.
    """
    saved = read_saved(folder, MilvusIndex.kind)
    return MilvusIndex(saved.vectors.shape[1], settings, saved)


def adopt_milvus(rows: Rows, vectors: Vectors, settings: IndexSettings) -> MilvusIndex:
    """Return an index of vectors that another kind of index saved: the same collection in every process.

    Raises like `build_milvus`.
    """
    dim = np.shape(vectors)[1]
    rows, vectors = checked_vectors(rows, vectors, dim)
    return MilvusIndex(dim, settings, named_by_content(MilvusIndex.kind, rows, vectors))


def _best(rows: Rows, scores: Scores, k: int) -> tuple[Rows, Scores]:
    order = top(scores, k)
    return rows[order], scores[order]

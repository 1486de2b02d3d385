"""The exhaustive index: the right answer, linear in the rows. Knows nothing of approximation."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from slatewise.domain.ids import Mask, Rows, Scores, Vectors
from slatewise.index.checks import checked_allow, checked_query, checked_rows, checked_vectors
from slatewise.index.files import write_store
from slatewise.index.store import VectorStore


class ExactIndex:
    """Scores every allowed row; right for vectors of any length.

    Thread-safe; a search sees an upsert whole or not at all, and never waits. Equal scores come in the order in which
    their vectors arrived.
    """

    kind = "exact"
    is_exact = True

    def __init__(self, dim: int, store: VectorStore | None = None) -> None:
        self._dim = dim
        self._store = VectorStore(dim) if store is None else store
        self._writing = Lock()

    @property
    def dim(self) -> int:
        return self._dim

    def __len__(self) -> int:
        return self._store.view.live

    def search(self, query: Vectors, k: int, allow: Mask | None = None) -> tuple[Rows, Scores]:
        return self._store.view.scan(checked_query(query, self._dim), k, checked_allow(allow))

    def upsert(self, rows: Rows, vectors: Vectors) -> None:
        rows, vectors = checked_vectors(rows, vectors, self._dim)
        with self._writing:
            self._store.upsert(rows, vectors)

    def remove(self, rows: Rows) -> None:
        rows = checked_rows(rows)
        with self._writing:
            self._store.remove(rows)

    def save(self, folder: Path) -> None:
        write_store(folder, self.kind, self._store.view)

"""Nearest-vector search."""

from pathlib import Path
from typing import Protocol, runtime_checkable

from slatewise.domain.ids import Mask, Rows, Scores, Vectors


class VectorIndex(Protocol):
    """Finds the rows whose vectors have the largest inner product with a query.

    Readers never block on writers, and a search sees either all of an `upsert` of one row or none of it.
    """

    @property
    def kind(self) -> str:
        """The settings' word for this kind of index."""
        ...

    @property
    def is_exact(self) -> bool:
        """Whether `search` is exhaustive. Exact indexes are the oracle in tests."""
        ...

    @property
    def dim(self) -> int: ...

    def __len__(self) -> int:
        """How many rows can be found."""
        ...

    def search(self, query: Vectors, k: int, allow: Mask | None = None) -> tuple[Rows, Scores]:
        """Return up to *k* rows and their inner products, best first, for one query of shape ``(d,)``.

        *allow* is per catalogue row; rows beyond its length are not allowed. Fewer come back if fewer are allowed.
        Raises InputError for another width, or a query that is not finite.
        """
        ...

    def upsert(self, rows: Rows, vectors: Vectors) -> None:
        """Add or replace; the next search sees it. Vectors have shape ``(n, d)``."""
        ...

    def remove(self, rows: Rows) -> None:
        """Forget rows; unknown rows are ignored. The next search does not see them."""
        ...

    def save(self, folder: Path) -> None:
        """Write the index into *folder*, which exists."""
        ...


@runtime_checkable
class SearchesExactly(VectorIndex, Protocol):
    """An approximate index that can also answer exhaustively, slower: what its recall is audited against."""

    def search_exactly(self, query: Vectors, k: int, allow: Mask | None = None) -> tuple[Rows, Scores]:
        """Return what `VectorIndex.search` does, without leaving anything out."""
        ...

"""The calls on one collection of rows and vectors in Milvus. Knows nothing of which search is worth what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from slatewise.domain.errors import StorageError
from slatewise.domain.ids import Rows, Scores, Vectors
from slatewise.domain.settings import IndexSettings
from slatewise.index.milvus_server import SECONDS, Server
from slatewise.index.remote import new_name

MOST = 16_384
"""Most rows that Milvus returns for one search or one page of a query."""
MESSAGE = 16 * 2**20
"""Bytes of vectors per call; servers refuse messages of 64 MiB."""
MESSAGE_SECONDS = 60.0
"""How long a message of that size may take."""
PATIENCE = 600.0
"""Seconds for what takes as long as there are rows: flushing, loading."""
FLUSH_AFTER = 500
"""Changes after which Milvus Lite writes a segment: a search there takes ten times as long per row beside one."""


class Collection:
    """One collection. What a call wrote, the next one sees, in any process (consistency level Strong). Thread-safe."""

    def __init__(self, server: Server, name: str, dim: int, settings: IndexSettings) -> None:
        self._server = server
        self._client = server.client
        self._dim = dim
        self._settings = settings
        self._unflushed = 0
        self.name = name
        self.is_flat = True

    def ensure(self, rows: Rows, vectors: Vectors) -> None:
        """Make the collection with these rows, unless it is there already.

        It gets its name once it is whole, so one that is there is used as it is, unless somebody has emptied it.
        Raises StorageError for a collection of another width.
        """
        if not self._exists(self.name):
            self._make(rows, vectors)
        self._server.run(lambda: self._client.load_collection(self.name, timeout=PATIENCE))
        described = self._server.run(lambda: self._client.describe_collection(self.name, timeout=SECONDS))
        width = next(field["params"]["dim"] for field in described["fields"] if field["name"] == "vector")
        if int(width) != self._dim:
            raise StorageError(f"index collection {self.name}: width {width}, expected {self._dim}")
        index = self._server.run(lambda: self._client.describe_index(self.name, "vector", timeout=SECONDS))
        self.is_flat = index["index_type"] == "FLAT"
        if rows.size and not self.count():
            self.upsert(rows, vectors)

    def count(self) -> int:
        """Return the number of rows."""
        counted = self._server.run(
            lambda: self._client.query(self.name, filter="", output_fields=["count(*)"], timeout=SECONDS)
        )
        return int(counted[0]["count(*)"])

    def upsert(self, rows: Rows, vectors: Vectors) -> None:
        """Write distinct rows; all or none of those that fit into one message (65,000 of width 64)."""
        self._upsert(self.name, rows, vectors)
        self._changed(rows.size)

    def remove(self, rows: Rows) -> None:
        """Forget rows; unknown ones are ignored."""
        for part in _parts(rows, MOST):
            self._server.run(partial(self._client.delete, self.name, ids=part.tolist(), timeout=SECONDS))
        self._changed(rows.size)

    def search(self, query: Vectors, limit: int, among: Rows | None = None) -> tuple[Rows, Scores]:
        """Return the best *limit* rows, at most `MOST`, of *among* or of all, as the server orders them."""
        params = {} if self.is_flat else {"ef": max(self._settings.expansion_search, limit)}
        hits = self._server.run(
            lambda: self._client.search(
                self.name,
                data=[query],
                limit=limit,
                filter=_listed(among),
                output_fields=["row"],
                search_params={"metric_type": "IP", "params": params},
                anns_field="vector",
                timeout=SECONDS,
            )
        )[0]
        rows = np.array([hit["row"] for hit in hits], np.int64)
        return rows, np.array([hit["distance"] for hit in hits], np.float32)

    def rows(self) -> Rows:
        """Return all rows, ascending."""
        return np.sort(np.array([found["row"] for page in self._pages(["row"]) for found in page], np.int64))

    def read(self) -> tuple[Rows, Vectors]:
        """Return all rows, ascending, and their vectors."""
        return self._columns(self._pages(["row", "vector"]))

    def read_among(self, rows: Rows) -> tuple[Rows, Vectors]:
        """Return those of *rows* that are here, ascending, and their vectors."""
        ask = partial(self._client.query, self.name, output_fields=["row", "vector"], timeout=SECONDS)
        parts = _parts(rows, self._page)
        return self._columns(self._server.run(partial(ask, filter=_listed(part), limit=part.size)) for part in parts)

    def drop(self) -> None:
        """Delete the collection, if it is there."""
        self._server.run(lambda: self._client.drop_collection(self.name, timeout=PATIENCE))

    def _exists(self, name: str) -> bool:
        return bool(self._server.run(lambda: self._client.has_collection(name, timeout=SECONDS)))

    def _make(self, rows: Rows, vectors: Vectors) -> None:
        draft = new_name()
        self._create(draft, rows.size)
        self._upsert(draft, rows, vectors)
        if rows.size:
            self._server.run(lambda: self._client.flush(draft, timeout=PATIENCE))
        try:
            self._server.run(lambda: self._client.rename_collection(draft, self.name, timeout=PATIENCE))
        except StorageError:
            self._server.run(lambda: self._client.drop_collection(draft, timeout=PATIENCE))
            # Another process was faster: what it made of the same vectors is as good.
            if not self._exists(self.name):
                raise

    def _create(self, name: str, size: int) -> None:
        library = self._server.module
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("row", library.DataType.INT64, is_primary=True)
        schema.add_field("vector", library.DataType.FLOAT_VECTOR, dim=self._dim)
        settings = self._settings
        kind: dict[str, Any] = {"index_type": "FLAT"}
        # Milvus Lite loops over all rows in Python anyway, and its graph loses the way where a filter lets few through.
        if size > settings.exact_up_to and not self._server.is_lite:
            graph = {"M": settings.connectivity, "efConstruction": settings.expansion_add}
            kind = {"index_type": "HNSW", "params": graph}
        index = self._client.prepare_index_params()
        index.add_index("vector", metric_type="IP", **kind)
        make = partial(self._client.create_collection, name, schema=schema, consistency_level="Strong")
        self._server.run(partial(make, timeout=PATIENCE))
        # Not waited for: the collection is loaded once it has its rows, which waits for the index over them.
        self._server.run(partial(self._client.create_index, name, index, sync=False, timeout=PATIENCE))

    def _upsert(self, name: str, rows: Rows, vectors: Vectors) -> None:
        for part in _parts(np.arange(rows.size), max(1, MESSAGE // (4 * self._dim))):
            pairs = zip(rows[part].tolist(), vectors[part], strict=True)
            data = [{"row": row, "vector": vector} for row, vector in pairs]
            self._server.run(partial(self._client.upsert, name, data=data, timeout=MESSAGE_SECONDS))

    def _changed(self, number: int) -> None:
        """Have Milvus Lite flush now and then. A server flushes by itself, and allows it rarely to others."""
        self._unflushed += number
        if self._server.is_lite and self._unflushed >= FLUSH_AFTER:
            self._unflushed = 0
            self._server.run(lambda: self._client.flush(self.name, timeout=PATIENCE))

    @property
    def _page(self) -> int:
        return min(MOST, max(1, MESSAGE // (4 * self._dim)))

    def _pages(self, fields: list[str]) -> Iterator[list[dict[str, Any]]]:
        ask = partial(self._client.query_iterator, self.name, filter="row >= 0", output_fields=fields)
        pages = self._server.run(partial(ask, batch_size=self._page, timeout=SECONDS))
        while page := self._server.run(pages.next):
            yield page
        pages.close()

    def _columns(self, pages: Iterable[list[dict[str, Any]]]) -> tuple[Rows, Vectors]:
        found = [one for page in pages for one in page]
        rows = np.array([one["row"] for one in found], np.int64)
        vectors = np.array([one["vector"] for one in found], np.float32)
        order = np.argsort(rows)
        return rows[order], vectors.reshape(rows.size, self._dim)[order]


def _parts(values: Rows, size: int) -> list[Rows]:
    return [values[start : start + size] for start in range(0, values.size, size)]


def _listed(rows: Rows | None) -> str:
    return "" if rows is None else f"row in {rows.tolist()}"

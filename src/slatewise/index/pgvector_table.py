"""The statements on one table of rows and vectors in PostgreSQL. Knows nothing of which search is worth what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from slatewise.domain.errors import StorageError
from slatewise.domain.ids import Mask, Rows, Scores, Vectors
from slatewise.domain.ordering import best_first
from slatewise.domain.settings import IndexSettings
from slatewise.index import pgvector_wire as wire
from slatewise.postgres.pool import Pool

if TYPE_CHECKING:
    from psycopg import Connection

WIDEST_GRAPH = 2_000
"""Widest vector that pgvector puts into a graph, and that fits into a page beside its row."""
WIDEST_WALK = 1_000
"""Most candidates that pgvector keeps while it walks (hnsw.ef_search)."""

CREATE = "CREATE TABLE {table} (item_row integer PRIMARY KEY, embedding vector({dim}) NOT NULL)"
INLINE = "ALTER TABLE {table} ALTER COLUMN embedding SET STORAGE PLAIN"
COPY_IN = "COPY {table} (item_row, embedding) FROM STDIN (FORMAT binary)"
COPY_OUT = "COPY (SELECT item_row, embedding FROM {table} ORDER BY item_row) TO STDOUT (FORMAT binary)"
GRAPH = (
    "CREATE INDEX {graph} ON {table} USING hnsw (embedding vector_ip_ops) "
    "WITH (m = {connectivity}, ef_construction = {expansion})"
)
# In ascending order, so that two processes which write the same rows wait for each other instead of dead-locking. What
# is the same already is left alone: the processes that share a bundle repeat each other's writes.
UPSERT = (
    "INSERT INTO {table} AS old SELECT * FROM unnest(%s::integer[], %s::vector[]) "
    "ON CONFLICT (item_row) DO UPDATE SET embedding = EXCLUDED.embedding "
    "WHERE old.embedding IS DISTINCT FROM EXCLUDED.embedding"
)
REMOVE = "DELETE FROM {table} WHERE item_row = ANY(%s::integer[])"
# An order by a function, not by the operator, is one that no graph can give: this reads every row that passes.
SCAN = (
    "SELECT item_row, inner_product(embedding, %s::vector) AS score FROM {table} "
    "WHERE {condition} ORDER BY score DESC, item_row LIMIT %s"
)
WALK = (
    "SELECT item_row, -(embedding <#> %s::vector) AS score FROM {table} "
    "WHERE {condition} ORDER BY embedding <#> %s::vector LIMIT %s"
)
AMONG = "item_row = ANY(%s::integer[])"
# Not equal to 0 rather than equal to 1: the planner takes that for a filter that most rows pass.
PERMITTED = "CASE WHEN item_row < %s THEN get_bit(%s::bytea, item_row) ELSE 0 END <> 0"


class Table:
    """One collection. Every method is one transaction; what it wrote, the next one sees. Thread-safe."""

    def __init__(self, pool: Pool, name: str, dim: int, settings: IndexSettings) -> None:
        self._pool = pool
        self._dim = dim
        self._settings = settings
        self._names = {"table": name, "graph": f"{name}_hnsw"}
        self.name = name
        self.has_graph = False

    def ensure(self, rows: Rows, vectors: Vectors) -> None:
        """Make the table with these rows, and a graph over them where they are many, unless it is there already.

        A table that is there was written whole, so it is used as it is, unless somebody has emptied it.
        Raises StorageError for a table of another width.
        """

        def work(connection: Connection) -> bool:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (self.name,))
                width = _width(connection, self.name)
                if width is None:
                    self._create(connection)
                elif width != self._dim:
                    raise StorageError(f"index table {self.name}: width {width}, expected {self._dim}")
                if rows.size and not self._count(connection, limit=1):
                    self._fill(connection, rows, vectors)
                return self._ensure_graph(connection)

        self.has_graph = self._pool.run(work)

    def count(self) -> int:
        """Return the number of rows."""
        return self._pool.run(lambda connection: self._count(connection))

    def upsert(self, rows: Rows, vectors: Vectors) -> None:
        """Write distinct rows, all or none."""
        order = np.argsort(rows)

        def work(connection: Connection) -> None:
            number = connection.execute("SELECT 'vector'::regtype::oid").fetchone()
            assert number is not None
            values = (wire.row_array(rows[order]), wire.vector_array(vectors[order], number[0]))
            connection.execute(self._said(UPSERT), values)

        self._pool.run(work)

    def remove(self, rows: Rows) -> None:
        """Forget rows, all at once; unknown ones are ignored."""
        self._pool.run(lambda connection: connection.execute(self._said(REMOVE), (wire.row_array(rows),)))

    def scan_among(self, rows: Rows, query: Vectors, k: int) -> tuple[Rows, Scores]:
        """Return the best *k* of these rows, exactly."""
        return self._found(SCAN, (wire.vector(query),), AMONG, (wire.row_array(rows),), (k,))

    def scan(self, query: Vectors, k: int, allow: Mask | None) -> tuple[Rows, Scores]:
        """Return the best *k* of all permitted rows, exactly; linear in the rows of the table."""
        return self._found(SCAN, (wire.vector(query),), *_permitted(allow), (k,))

    def walk(self, query: Vectors, k: int, allow: Mask | None) -> tuple[Rows, Scores]:
        """Return about the best *k* of the permitted rows by a walk through the graph; perhaps fewer."""
        width = min(max(self._settings.expansion_search, 2 * k), WIDEST_WALK)
        vector = wire.vector(query)
        return self._found(WALK, (vector,), *_permitted(allow), (vector, k), width)

    def read(self) -> tuple[Rows, Vectors]:
        """Return all rows, ascending, and their vectors, as they are at one moment."""

        def work(connection: Connection) -> bytes:
            with connection.cursor() as cursor, cursor.copy(self._said(COPY_OUT)) as copy:
                return b"".join(bytes(part) for part in copy)

        return wire.uncopied(self._pool.run(work), self._dim)

    def drop(self) -> None:
        """Delete the table, if it is there, and let go of the server."""
        self._pool.run(lambda connection: connection.execute(self._said("DROP TABLE IF EXISTS {table}")))
        self._pool.close()

    def _create(self, connection: Connection) -> None:
        connection.execute(self._said(CREATE, dim=self._dim))
        if self._dim <= WIDEST_GRAPH:
            # Otherwise vectors wider than some 500 would lie elsewhere and be fetched one by one.
            connection.execute(self._said(INLINE))

    def _fill(self, connection: Connection, rows: Rows, vectors: Vectors) -> None:
        with connection.cursor() as cursor, cursor.copy(self._said(COPY_IN)) as copy:
            copy.write(wire.copied(rows, vectors))
        connection.execute(self._said("ANALYZE {table}"))

    def _ensure_graph(self, connection: Connection) -> bool:
        if connection.execute("SELECT to_regclass(%s)", (self._names["graph"],)).fetchone() != (None,):
            return True
        enough = self._settings.exact_up_to + 1
        if self._dim > WIDEST_GRAPH or self._count(connection, limit=enough) < enough:
            return False
        # pgvector refuses fewer candidates than two per neighbour.
        expansion = max(self._settings.expansion_add, 2 * self._settings.connectivity)
        connection.execute(self._said(GRAPH, connectivity=self._settings.connectivity, expansion=expansion))
        return True

    def _count(self, connection: Connection, limit: int | None = None) -> int:
        counted = connection.execute(
            self._said("SELECT count(*) FROM (SELECT FROM {table} LIMIT %s) AS counted"), (limit,)
        ).fetchone()
        assert counted is not None
        return int(counted[0])

    def _found(
        self,
        statement: str,
        before: tuple[object, ...],
        condition: str,
        conditional: tuple[object, ...],
        after: tuple[object, ...],
        width: int | None = None,
    ) -> tuple[Rows, Scores]:
        said = self._said(statement, condition=condition)

        def work(connection: Connection) -> list[tuple[Any, ...]]:
            if width is not None:
                connection.execute("SELECT set_config('hnsw.ef_search', %s, false)", (str(width),))
            return connection.execute(said, before + conditional + after, binary=True).fetchall()

        found = self._pool.run(work)
        rows = np.array([row for row, _ in found], np.int64)
        scores = np.array([score for _, score in found], np.float32)
        order = best_first(scores)
        return rows[order], scores[order]

    def _said(self, statement: str, **parts: object) -> bytes:
        """Return the statement with names and numbers put in; none of them comes from outside unchecked."""
        return statement.format(**self._names, **parts).encode()


def _permitted(allow: Mask | None) -> tuple[str, tuple[object, ...]]:
    return ("true", ()) if allow is None else (PERMITTED, (allow.size, wire.bits(allow)))


def _width(connection: Connection, table: str) -> int | None:
    found = connection.execute(
        "SELECT atttypmod FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = 'embedding'", (table,)
    ).fetchone()
    return None if found is None else int(found[0])

"""Connections to one PostgreSQL with pgvector. Knows no tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slatewise.domain.errors import StorageError
from slatewise.index.pgvector_wire import Binary
from slatewise.index.remote import imported
from slatewise.postgres.pool import Pool, Purpose, first_line

if TYPE_CHECKING:
    from psycopg import Connection

OLDEST = (0, 8)
"""The first pgvector that goes on walking its graph until a filter has let enough rows through."""
WHAT = "index on PostgreSQL"
SESSION = """
SELECT set_config('hnsw.iterative_scan', 'relaxed_order', false), set_config('jit', 'off', false)
"""
# Compiling a statement takes longer than any search here.


def open_pool(url: str) -> Pool:
    """Return connections that know pgvector. Raises InputError for a url that cannot be right."""
    # Statements are planned anew each time: a plan for any limit and any filter is no plan for these.
    purpose = Purpose(WHAT, "index.url", _prepare, {"prepare_threshold": None})
    return Pool(imported("psycopg", "pgvector"), url, purpose)


def _prepare(connection: Connection) -> None:
    _require_extension(connection)
    connection.execute(SESSION)
    connection.adapters.register_dumper(Binary, _binary_dumper())


def _require_extension(connection: Connection) -> None:
    """Make pgvector available in this database. Raises StorageError where that needs an administrator."""
    import psycopg

    version = _extension_version(connection)
    if version is None:
        try:
            with connection.transaction():
                # Two processes that create it at once would collide in the server's catalogue.
                connection.execute("SELECT pg_advisory_xact_lock(hashtext('slatewise'))")
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except (psycopg.ProgrammingError, psycopg.NotSupportedError) as error:
            hint = "an administrator must install pgvector and run CREATE EXTENSION vector"
            raise StorageError(f"{_where(connection)}: {first_line(error)}; {hint}") from error
        version = _extension_version(connection)
    if version is None or version < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise StorageError(f"{_where(connection)}: pgvector {version}, expected {wanted} or newer")


def _where(connection: Connection) -> str:
    info = connection.info
    return f"{WHAT} at {info.host}:{info.port}/{info.dbname}"


def _extension_version(connection: Connection) -> tuple[int, ...] | None:
    found = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    return None if found is None else tuple(int(part) for part in found[0].split(".")[:2])


def _binary_dumper() -> type[Any]:
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    class BinaryDumper(Dumper):
        format = Format.BINARY

        def dump(self, obj: Binary) -> bytes:
            return obj.data

    return BinaryDumper

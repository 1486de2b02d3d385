"""A server for the index that lives on one: started once per test session, from packages of the development group."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def milvus_file(tmp_path_factory, require):
    """A database of Milvus Lite: a server inside this process, on one file."""
    require("pymilvus", "milvus_lite")
    from milvus_lite.server_manager import server_manager_instance

    path = str(Path(tmp_path_factory.mktemp("milvus")) / "vectors.db")
    yield path
    server_manager_instance.release_server(path)

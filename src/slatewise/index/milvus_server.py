"""The connection to a Milvus server, or to a file of Milvus Lite. Knows no collections."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from slatewise.domain.errors import ConfigError, StorageError
from slatewise.domain.urls import without_password
from slatewise.index.remote import imported, refused_url

T = TypeVar("T")

EXPECTED = "http://user:password@host:19530/database, https://…, or the path of a file ending in .db"
SECONDS = 5.0
"""How long a short call may take, repetitions on a lost connection included."""

RECONNECT = {"grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 1_000}
"""Otherwise a server that was away for long is not asked again for two minutes."""

_turns: dict[str, Lock] = {}
"""One per Milvus Lite, not per index: all indexes on it talk to the same engine."""


class Server:
    """One client for all threads. It reconnects by itself: a call made after the server is back just works.

    Milvus Lite does not bear writes beside reads (it says so itself), so calls to it wait for each other; to a server
    they do not.
    """

    def __init__(self, url: str) -> None:
        self._pymilvus = imported("pymilvus", "milvus")
        self._url = url
        self._turn: AbstractContextManager[Any] = nullcontext()
        if url.endswith(".db") and "://" not in url:
            url = _checked_file(url)
        elif not re.match(r"(https?|tcp)://[^/\s]+", url):
            raise refused_url(url, EXPECTED)
        self.client = self.run(lambda: self._pymilvus.MilvusClient(url, timeout=SECONDS, grpc_options=RECONNECT))
        version = str(self.run(lambda: self.client.get_server_version(timeout=SECONDS)))
        self.is_lite = version.startswith("milvus_lite")
        if self.is_lite:
            self._turn = _turns.setdefault(url, Lock())

    @property
    def module(self) -> Any:
        """The client library."""
        return self._pymilvus

    def run(self, call: Callable[[], T]) -> T:
        """Return what *call* returns. Raises StorageError where the server is away or refuses."""
        try:
            with self._turn:
                return call()
        except self._pymilvus.MilvusException as error:
            hint = "" if "://" in self._url else "; a file can be open in one process at a time"
            raise StorageError(f"index on Milvus at {without_password(self._url)}: {error.message}{hint}") from error


def _checked_file(url: str) -> str:
    try:
        imported("milvus_lite", "milvus")
    except ConfigError as error:
        raise ConfigError("index.url names a file, which needs Milvus Lite: pip install milvus-lite") from error
    file = Path(url).absolute()
    if not file.parent.is_dir():
        raise refused_url(url, "a file in a folder that exists")
    return str(file)

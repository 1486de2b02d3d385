"""The kinds that live on a server, by name. Importing this imports no client library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from slatewise.domain.ids import Rows, Vectors
from slatewise.domain.settings import IndexSettings
from slatewise.index.milvus import MilvusIndex, adopt_milvus, build_milvus, load_milvus
from slatewise.index.pgvector import PgvectorIndex, adopt_pgvector, build_pgvector, load_pgvector
from slatewise.ports.index import VectorIndex

Make = Callable[[Rows, Vectors, IndexSettings], VectorIndex]


@dataclass(frozen=True, slots=True)
class Server:
    """How indexes of one kind come to be: new, opened as saved, or from what another kind saved."""

    build: Make
    load: Callable[[Path, IndexSettings], VectorIndex]
    adopt: Make


SERVERS: Mapping[str, Server] = MappingProxyType(
    {
        PgvectorIndex.kind: Server(build_pgvector, load_pgvector, adopt_pgvector),
        MilvusIndex.kind: Server(build_milvus, load_milvus, adopt_milvus),
    }
)

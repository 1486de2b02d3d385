"""What indexes on a server share: names, what is saved beside the vectors, how errors are worded. Knows no database."""

from __future__ import annotations

import hashlib
import importlib
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np

from slatewise.domain.errors import BundleError, ConfigError, InputError
from slatewise.domain.ids import Rows, Vectors
from slatewise.domain.urls import without_password
from slatewise.index.files import read_store, write_store
from slatewise.index.store import VectorStore

FORMAT = 1
HEADER = "remote.json"
PREFIX = "slatewise_"
NAME = re.compile(PREFIX + "[0-9a-f]{24}")
"""Names go into statements, so a header may not hold just any text."""


class RemoteHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the rows beside it live on the server. How many and how wide they are is in ``index.json``."""

    format: int
    kind: str
    collection: str


@dataclass(frozen=True, slots=True)
class Saved:
    """What a folder holds: enough to find the collection, and to make it again on another server."""

    collection: str
    rows: Rows
    vectors: Vectors


def new_name() -> str:
    """Return a name that no other collection has."""
    return PREFIX + secrets.token_hex(12)


def write_saved(folder: Path, kind: str, saved: Saved) -> None:
    """Write header, rows and vectors into *folder*, which exists."""
    store = VectorStore(saved.vectors.shape[1])
    store.upsert(saved.rows, saved.vectors)
    write_store(folder, kind, store.view)
    header = RemoteHeader(format=FORMAT, kind=kind, collection=saved.collection)
    (folder / HEADER).write_bytes(msgspec.json.encode(header))


def read_saved(folder: Path, kind: str) -> Saved:
    """Return what an index of *kind* saved in *folder*. Raises BundleError naming the file that does not match."""
    header, store = read_store(folder)
    if header.kind != kind:
        raise BundleError(f"index file index.json: kind {header.kind!r}, expected {kind!r}")
    rows, vectors, _ = store.view.live_columns()
    return Saved(_read_name(folder, kind), rows, vectors)


def named_by_content(kind: str, rows: Rows, vectors: Vectors) -> Saved:
    """Return vectors that no collection holds yet, with the name of theirs.

    The bundle that holds them is sealed and cannot note a name. This one follows from what it holds, so every process
    that opens the bundle comes to the same collection.
    """
    order = np.argsort(rows)
    content = hashlib.blake2b(f"{kind} {vectors.shape}".encode(), digest_size=12)
    content.update(rows[order].tobytes())
    content.update(vectors[order].tobytes())
    return Saved(PREFIX + content.hexdigest(), rows, vectors)


def _read_name(folder: Path, kind: str) -> str:
    try:
        header = msgspec.json.decode((folder / HEADER).read_bytes(), type=RemoteHeader)
    except (OSError, msgspec.MsgspecError) as error:
        raise BundleError(f"index file {HEADER}: {error}") from error
    if header.format != FORMAT:
        raise BundleError(f"index file {HEADER}: format {header.format}, this build reads {FORMAT}")
    if header.kind != kind:
        raise BundleError(f"index file {HEADER}: kind {header.kind!r}, but index.json says {kind!r}")
    if not NAME.fullmatch(header.collection):
        raise BundleError(f"index file {HEADER}: collection {header.collection!r}, expected {NAME.pattern}")
    return header.collection


def imported(module: str, extra: str) -> ModuleType:
    """Return an optional module. Raises ConfigError saying what to install.

    Imported on first use: whoever needs no server installs no client and waits for none.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        hint = f"pip install 'slatewise[{extra}]'"
        raise ConfigError(f"index.kind is {extra}, but {module} cannot be imported ({error}): {hint}") from error


def refused_url(url: str, expected: str) -> InputError:
    """Return the error for a url that cannot be right."""
    return InputError("index.url", without_password(url), expected)

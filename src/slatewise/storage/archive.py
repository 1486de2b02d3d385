"""A folder's files as one archive with a digest each; reading it back never writes outside the folder it is given.

A tar whose first member is ``manifest.json``: name, size and SHA-256 of every other one. Knows no meaning of theirs.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import msgspec

from slatewise.domain.errors import StorageError

FORMAT = 1
MANIFEST = "manifest.json"
MOST_FILES = 100_000
MOST_MANIFEST_BYTES = 64 << 20


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file as it was packed."""

    bytes: int
    sha256: str


class Contents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an archive says it holds."""

    format: int
    facts: dict[str, object]
    files: dict[str, Member]


def pack(files: Mapping[str, Path], facts: Mapping[str, object], target: Path) -> Contents:
    """Write *files*, by their names in the archive, to *target*, durably. They may not change meanwhile.

    Raises StorageError for a name that could not be restored, and OSError.
    """
    for name in files:
        _check_name(name)
    contents = Contents(FORMAT, dict(facts), {name: _measured(path) for name, path in files.items()})
    spelled = msgspec.json.format(msgspec.json.encode(contents), indent=1)
    with open(target, "xb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, MANIFEST, len(spelled), io.BytesIO(spelled))
        for name, path in files.items():
            with open(path, "rb") as source:
                _add(tar, name, contents.files[name].bytes, source)
        tar.close()
        file.flush()
        os.fsync(file.fileno())
    return contents


def unpack(archive: Path, folder: Path, allowed: Callable[[str], bool]) -> Contents:
    """Write the files of *archive* into the empty *folder*, each checked against its digest on the way; syncs nothing.

    Raises StorageError naming the first member that is not in the manifest, has an unsafe name or one that is not
    *allowed*, is no plain file, or differs from its digest; and for one that is missing.
    """
    try:
        with tarfile.open(archive, "r:") as tar:
            contents = _contents(archive, tar)
            for name in contents.files:
                _check_name(name)
                if not allowed(name):
                    raise StorageError(f"{archive}: {name!r} is no file of a backup")
            missing = dict(contents.files)
            while (member := tar.next()) is not None:
                expected = missing.pop(member.name, None)
                if expected is None or member.type != tarfile.REGTYPE or member.size != expected.bytes:
                    raise StorageError(f"{archive}: {member.name!r} is not what the manifest says")
                source = tar.extractfile(member)
                if source is None or _written(source, folder / member.name, expected.bytes) != expected.sha256:
                    raise StorageError(f"{archive}: {member.name!r} is damaged (at byte {member.offset_data})")
    except (tarfile.TarError, msgspec.MsgspecError, EOFError, ValueError, RecursionError) as error:
        raise StorageError(f"{archive} is no whole backup: {error}") from error
    if missing:
        raise StorageError(f"{archive}: {min(missing)!r} is missing: the archive was cut off")
    return contents


def _contents(archive: Path, tar: tarfile.TarFile) -> Contents:
    first = tar.next()
    if first is None or first.name != MANIFEST or first.type != tarfile.REGTYPE or first.size > MOST_MANIFEST_BYTES:
        raise StorageError(f"{archive} is no backup: it does not begin with {MANIFEST}")
    source = tar.extractfile(first)
    contents = msgspec.json.decode(source.read() if source else b"", type=Contents)
    if contents.format != FORMAT or len(contents.files) > MOST_FILES:
        raise StorageError(f"{archive} has format {contents.format}, this version reads {FORMAT}")
    return contents


def _check_name(name: str) -> None:
    parts = name.split("/")
    unsafe = any(part in ("", ".", "..") for part in parts) or any(mark in name for mark in "\\:\0")
    if unsafe or name == MANIFEST or not name.isprintable() or len(name) > 512:
        raise StorageError(f"{name!r} is an unsafe name in an archive")


def _add(tar: tarfile.TarFile, name: str, size: int, source: IO[bytes]) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    tar.addfile(info, source)


def _measured(path: Path) -> Member:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Member(file.tell(), digest)


def _written(source: IO[bytes], target: Path, size: int) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with open(target, "xb") as file:
        while part := source.read(1 << 20):
            digest.update(part)
            size -= file.write(part)
    return digest.hexdigest() if size == 0 else ""

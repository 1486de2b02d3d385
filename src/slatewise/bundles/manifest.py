"""The manifest of a bundle: which files it has and their digests. Knows nothing of what they mean."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from slatewise.bundles.durable import sync_tree, write_atomically
from slatewise.domain.errors import BundleError

FORMAT = 1
MANIFEST = "manifest.json"
_SEALED = ("format", "created_at", "parent", "files", "facts")
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file as it was sealed."""

    sha256: str
    bytes: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a bundle consists of. Written as canonical JSON: a manifest has one spelling, down to the byte."""

    format: int
    id: str
    """UTC time and a short digest of the contents, as in ``20261122-231500-ab12cd``."""
    created_at: float
    parent: str | None
    """The bundle that was live when this one was built."""
    files: dict[str, FileEntry]
    """By POSIX path inside the folder."""
    facts: dict[str, Any]
    """Sizes, metrics and settings, as JSON values."""
    seal: str
    """SHA-256 of all fields above, so that the manifest vouches for itself too."""

    @property
    def total_bytes(self) -> int:
        return sum(entry.bytes for entry in self.files.values())


def is_bundle_id(text: str) -> bool:
    """Return whether *text* is spelled like a bundle id, and so is safe as a folder name."""
    return _ID.fullmatch(text) is not None


def seal(
    folder: Path, *, created_at: float, parent: str | None = None, facts: Mapping[str, object] | None = None
) -> Manifest:
    """Digest every file in *folder*, make them durable and write the manifest last; an older manifest is replaced.

    *created_at* is in seconds since the epoch. *facts* are JSON values (numpy scalars become numbers, NaN null).
    Raises BundleError for a file that is no regular file or has an unsafe name, and for a folder without files.
    """
    names = _names(folder)
    if not names:
        raise BundleError(f"bundle {folder.name}: there is nothing to seal")
    sync_tree(folder)
    contents = {
        "format": FORMAT,
        "created_at": float(created_at),
        "parent": parent,
        "files": {name: _digest(folder / name) for name in names},
        "facts": dict(facts or {}),
    }
    manifest = _identified(msgspec.json.decode(_spell(contents)))
    write_atomically(folder / MANIFEST, _spell(manifest))
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest, checked on its own but not against the files. Raises BundleError where it is not genuine."""
    try:
        if (folder / MANIFEST).is_symlink():
            raise _refused(folder, MANIFEST, "is a symbolic link")
        spelled = (folder / MANIFEST).read_bytes()
        found = msgspec.json.decode(spelled)
        if isinstance(found, dict) and found.get("format") != FORMAT:
            raise _refused(folder, MANIFEST, f"format {found.get('format')!r}, this build reads {FORMAT}")
        manifest = msgspec.convert(found, Manifest)
        genuine = _spell(_identified({name: found[name] for name in _SEALED}))
    except FileNotFoundError as error:
        raise _refused(folder, MANIFEST, "is missing") from error
    except (OSError, msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise _refused(folder, MANIFEST, f"cannot be read: {error}") from error
    for name in manifest.files:
        _check_name(folder, name)
    if genuine != spelled:
        raise _refused(folder, MANIFEST, "has a seal that does not match its contents")
    return manifest


def verify(folder: Path) -> Manifest:
    """Return the manifest of *folder* after checking every byte against it; reads all files.

    Raises BundleError naming the file and what differs: missing, extra, size, digest, format, an unsafe name, a link.
    """
    manifest = read_manifest(folder)
    present = set(_names(folder))
    for name in sorted(present ^ manifest.files.keys()):
        raise _refused(folder, name, "is not in the manifest" if name in present else "is missing")
    for name, expected in manifest.files.items():
        try:
            found = _digest(folder / name)
        except OSError as error:
            raise _refused(folder, name, f"cannot be read: {error}") from error
        if found.bytes != expected.bytes:
            raise _refused(folder, name, f"has {found.bytes} bytes, the manifest says {expected.bytes}")
        if found.sha256 != expected.sha256:
            raise _refused(folder, name, "has another digest than the manifest says")
    return manifest


def _identified(contents: dict[str, Any]) -> Manifest:
    digest = hashlib.sha256(_spell(contents)).hexdigest()
    at = datetime.fromtimestamp(contents["created_at"], UTC)
    identity = f"{at:%Y%m%d-%H%M%S}-{digest[:6]}"
    return msgspec.convert({**contents, "id": identity, "seal": digest}, Manifest, from_attributes=True)


def _spell(value: object) -> bytes:
    spelled = msgspec.json.encode(value, enc_hook=_plain, order="sorted")
    return msgspec.json.format(spelled, indent=1)


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    # What msgspec asks of a hook that knows no form for a value.
    raise NotImplementedError(f"a fact must be a JSON value, not {type(value).__name__}")  # msgspec asks a hook for it


def _digest(path: Path) -> FileEntry:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileEntry(digest, file.tell())


def _names(folder: Path) -> list[str]:
    """Return the POSIX path of every file but the manifest, sorted. Raises BundleError for what is no plain file."""
    names = []
    for place, folders, files in os.walk(folder):
        for entry in folders + files:
            path = Path(place, entry)
            name = path.relative_to(folder).as_posix()
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                raise _refused(folder, name, "is a symbolic link")
            if stat.S_ISDIR(mode) or name == MANIFEST:
                continue
            if not stat.S_ISREG(mode):
                raise _refused(folder, name, "is no regular file")
            _check_name(folder, name)
            names.append(name)
    return sorted(names)


def _check_name(folder: Path, name: str) -> None:
    """Refuse names that lead out of the folder, on any system: a bundle may be made on one and read on another."""
    parts = name.split("/")
    unsafe = any(part in ("", ".", "..") for part in parts) or any(mark in name for mark in "\\:\0")
    if unsafe or name == MANIFEST or not name.isprintable():
        raise _refused(folder, name, "is an unsafe name")


def _refused(folder: Path, name: str, reason: str) -> BundleError:
    return BundleError(f"bundle {folder.name}: {name!r} {reason}")

"""Which processes answer from a folder of bundles, and with which one. Knows nothing of what a bundle holds."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from slatewise.bundles.durable import try_lock
from slatewise.bundles.manifest import is_bundle_id

_WIDTH = 64
"""Bytes of a notice: one write of so few is seen whole."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What one living process says: the bundle it answers from, and the one that it could not open."""

    bundle: str | None
    refused: str | None


class Presence:
    """This process's notice among those who answer from *folder*, which is created.

    The lock on the notice says that its process lives: it goes with the process, however that ends. Not thread-safe.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = secrets.token_hex(8)
        hidden, self._path = folder / f".{name}", folder / name
        self._handle: int | None = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        self.tell(None)
        # Named once it is locked: whoever finds an unlocked notice takes it for a dead process's.
        try_lock(self._handle)
        os.rename(hidden, self._path)

    def tell(self, bundle: str | None, refused: str | None = None) -> None:
        """Say which bundle answers here from now on, and which one could not be opened."""
        if self._handle is not None:
            os.lseek(self._handle, 0, os.SEEK_SET)
            os.write(self._handle, f"{bundle or '-'} {refused or '-'}\n".encode().ljust(_WIDTH))

    def close(self) -> None:
        """Take the notice away. Idempotent."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._path.unlink(missing_ok=True)
            os.close(handle)


def present(folder: Path) -> list[Notice]:
    """Return what the living processes say; notices of dead ones are swept out on the way."""
    notices = []
    for entry in os.scandir(folder) if folder.is_dir() else ():
        if entry.name.startswith("."):
            continue
        try:
            handle = os.open(entry.path, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            if try_lock(handle):
                Path(entry.path).unlink(missing_ok=True)
                continue
            told = os.read(handle, _WIDTH).decode("ascii", "replace").split()
        finally:
            os.close(handle)
        bundle, refused = (*(word if is_bundle_id(word) else None for word in told), None, None)[:2]
        notices.append(Notice(bundle, refused))
    return notices

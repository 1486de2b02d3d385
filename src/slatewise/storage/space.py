"""Room kept back for removals: when the disk is full, what must go can still be taken out. Knows no table."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

RESERVE_BYTES = 1 << 20
"""A removal needs a few pages of the write-ahead log, which is folded back after each while the disk is full."""

LOW_BYTES = 256 << 20
"""Below it the write-ahead log is folded back after each group, so that no full disk ever has to take all of it."""


class Reserve:
    """A file beside the log that holds space and nothing else. Used by the writer's thread only."""

    def __init__(self, log: Path) -> None:
        self._path = log.with_name(log.name + "-reserve")
        # A sixteenth of a tiny disk, so that a reserve never is what fills it.
        self.size = size = min(RESERVE_BYTES, shutil.disk_usage(log.parent).total // 16)
        self._held = self._path.exists() and self._path.stat().st_size >= size
        if not self._held:
            self.restore()

    @property
    def held(self) -> bool:
        """Whether the space is held: False from the moment the disk was found full until there is room again."""
        return self._held

    @property
    def room_bytes(self) -> int:
        """What may be written without touching the reserve, or what it would take to hold it again."""
        try:
            free = shutil.disk_usage(self._path.parent).free
        except OSError:
            return 0
        return free if self._held else max(0, free - self.size)

    def release(self) -> None:
        """Give the space back to the disk, for removals."""
        self._held = False
        with suppress(OSError):
            self._path.unlink()

    def restore(self) -> bool:
        """Take the space again where there is room for it and as much again; return whether it is held."""
        if self._held:
            return True
        if self.room_bytes < self.size:
            return False
        try:
            with open(self._path, "wb") as file:
                _allocate(file.fileno(), self.size)
        except OSError:
            self.release()
            return False
        self._held = True
        return True


def _allocate(handle: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
    else:
        os.write(handle, b"\0" * size)

"""A file system of our own to pull the plug of: ext4 in a file, mounted by loop. Linux and root only."""

import fcntl
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
_WITHOUT_FLUSH = 2  # EXT4_GOING_FLAGS_NOLOGFLUSH: what was not synced is gone, as when the power goes


def why_not() -> str | None:
    """Return why no disk can be made here, None where one can."""
    if not sys.platform.startswith("linux"):
        return "needs Linux: a power cut is simulated by shutting a mounted ext4 down"
    if os.geteuid() != 0:
        return "needs root, to mount a file system"
    try:
        with disk(16):
            return None
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no loop device with ext4 can be mounted here ({error})"


class Disk:
    """A mounted file system."""

    def __init__(self, image: Path, at: Path) -> None:
        self._image, self.at = image, at
        _run("mount", "-o", "loop", str(image), str(at))

    def cut(self) -> None:
        """Stop all traffic to the disk at once. Whoever has it open gets errors; `plug_in` afterwards."""
        handle = os.open(self.at, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, _SHUTDOWN, struct.pack("I", _WITHOUT_FLUSH))
        finally:
            os.close(handle)

    def plug_in(self) -> None:
        """Mount it again: the journal is replayed, and what is there is what survived."""
        _run("umount", str(self.at))
        _run("mount", "-o", "loop", str(self._image), str(self.at))


@contextmanager
def disk(megabytes: int) -> Iterator[Disk]:
    """Lend a new file system."""
    with tempfile.TemporaryDirectory(prefix="slatewise-trust-") as scratch:
        image, at = Path(scratch, "image"), Path(scratch, "disk")
        at.mkdir()
        with open(image, "wb") as file:
            file.truncate(megabytes << 20)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
        made = Disk(image, at)
        try:
            yield made
        finally:
            _run("umount", "-l", str(at))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)

"""Writes that survive a crash whole or not at all, and a lock between processes. Knows files only."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


def sync_file(path: Path) -> None:
    """Return once the file's bytes are on disk."""
    # Windows flushes only through a handle that may write.
    handle = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Return once the folder's entries are on disk: without it a rename may be lost with the power."""
    if sys.platform == "win32":
        return
    sync_file(folder)


def sync_tree(folder: Path) -> None:
    """Return once every file and folder below *folder*, and itself, is on disk. Links are not followed."""
    for place, _, files in os.walk(folder):
        for name in files:
            if not os.path.islink(path := os.path.join(place, name)):
                sync_file(Path(path))
        sync_folder(Path(place))


def write_atomically(path: Path, content: bytes) -> None:
    """Replace *path* by *content*, durably; a reader or a crash sees the old content or the new, never a part."""
    new = path.with_name(f".{path.name}-{secrets.token_hex(6)}")
    try:
        with open(new, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def append_line(path: Path, line: bytes) -> None:
    """Append one line durably. A part of a line that a crash left behind is closed first."""
    with open(path, "a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = b"\n" + line
        file.write(line + b"\n")
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file *path* against other threads and processes; it is let go even by a process that is killed."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_LOCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def try_lock(handle: int) -> bool:
    """Lock an open file against other processes until it is closed; False, at once, where another holds it."""
    try:
        if sys.platform == "win32":
            # Beyond what is written: a locked part cannot be read there.
            os.lseek(handle, 1 << 20, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            os.lseek(handle, 0, os.SEEK_SET)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

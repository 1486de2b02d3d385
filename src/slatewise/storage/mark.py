"""How far the log was acknowledged, kept beside it: a write-ahead log that lost its tail is noticed, not believed.

SQLite takes a damaged frame of the write-ahead log for its end: right after a crash, wrong after a disk lost what it
had. The mark is written after each commit and not synced: it may be behind the truth, never ahead of it.

It is written before the commit is acknowledged, with a number drawn anew where the commit changes what is known of
items or users, which impressions do not. So who finds the same number as before its last look at the log knows, without
asking SQLite, that no change was acknowledged since (`Glance`). A mark that could not be written tells nobody: then the
acknowledgement waits until every such trust has ended.
"""

from __future__ import annotations

import mmap
import os
import sqlite3
import struct
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from zlib import crc32

from slatewise.domain.errors import StorageError
from slatewise.storage import reading
from slatewise.storage.wal import scan, wal_path

_OFFSET, _SUM = struct.Struct("<q"), struct.Struct("<I")
_SIZE = _OFFSET.size + _SUM.size
_NONCE = 8
"""Bytes of the number behind offset and sum. No two changes have it in common: processes may write the same end, or an
older one."""
_WHOLE = _SIZE + _NONCE

TRUST_S = 0.25
"""How long an unchanged number is believed after a look at the log. Who serves looks more often."""


def mark_path(log: Path) -> Path:
    """Return where the mark of a log file is kept."""
    return log.with_name(log.name + "-mark")


class Mark:
    """The newest end of the log that anybody was told of. Used by the writer's thread only."""

    def __init__(self, log: Path, end: int) -> None:
        """Open the mark of *log*, or create it where the log ends at *end*. Raises OSError."""
        self._handle = os.open(mark_path(log), os.O_RDWR | os.O_CREAT, 0o644)
        self._told = self.read()
        if not self._told or os.fstat(self._handle).st_size < _WHOLE:
            self._told = max(self._told, end)
            self._write(self._told, is_change=True)

    def read(self) -> int:
        """Return the end that was acknowledged, 0 where nothing readable says so."""
        os.lseek(self._handle, 0, os.SEEK_SET)
        return _decoded(os.read(self._handle, _SIZE))

    def tell(self, end: int, *, is_change: bool = True) -> None:
        """Write down that everything below *end* is on disk, and whether some of it changes what others know."""
        if end > self._told:
            self._told = end
            self._write(end, is_change=is_change)

    def close(self) -> None:
        os.close(self._handle)

    def _write(self, end: int, *, is_change: bool) -> None:
        packed = _OFFSET.pack(end)
        try:
            os.lseek(self._handle, 0, os.SEEK_SET)
            os.write(self._handle, packed + _SUM.pack(crc32(packed)) + (os.urandom(_NONCE) if is_change else b""))
        except OSError:
            # A mark that cannot be written is an older mark, which is allowed: the log itself is what must not fail.
            if is_change:
                time.sleep(2 * TRUST_S)


class Glance:
    """The end of a log for those who ask again and again. Thread-safe.

    A look at the log costs a system call or two and lets go of the interpreter; while nobody changed anything, this is
    a few bytes of memory that processes share.
    """

    def __init__(self, log: Path) -> None:
        self._path = mark_path(log)
        self._shared: mmap.mmap | None = None
        self._seen = (b"", 0, -TRUST_S)

    def known(self) -> int | None:
        """Return the end as it was last looked at, None unless no change was acknowledged since. Never blocks."""
        number, end, at_s = self._seen
        shared = self._shared
        if shared is None or shared[_SIZE:_WHOLE] != number or time.monotonic() - at_s > TRUST_S:
            return None
        return end

    def looked(self, look: Callable[[], int]) -> int:
        """Return the end that *look* finds, and remember it."""
        # The number first: whatever it stands for, the look that follows finds at least as much.
        number, at_s = self._number(), time.monotonic()
        end = look()
        self._seen = (number, end, at_s)
        return end

    def close(self) -> None:
        """Know nothing any more. The memory goes with its last reader."""
        self._shared = None

    def _number(self) -> bytes:
        if self._shared is None:
            with suppress(OSError, ValueError), self._path.open("rb") as file:
                # Not yet written whole: ValueError.
                self._shared = mmap.mmap(file.fileno(), _WHOLE, access=mmap.ACCESS_READ)
        return b"" if self._shared is None else self._shared[_SIZE:_WHOLE]


def set_mark(log: Path, end: int) -> None:
    """Write down that everything below *end* is in *log*, a file that nobody has open."""
    mark = Mark(log, end)
    mark.tell(end)
    mark.close()


def read_mark(log: Path) -> int:
    """Return the acknowledged end of the log file *log*, 0 where nothing readable says so."""
    try:
        return _decoded(mark_path(log).read_bytes())
    except OSError:
        return 0


def check_mark(log: Path, lend: Callable[[], AbstractContextManager[sqlite3.Connection]]) -> None:
    """Refuse a log that ends before what it acknowledged; *lend* opens it. Raises StorageError."""
    told = read_mark(log)  # before the end: others may be writing
    if not told or not log.exists():
        return
    try:
        with lend() as db:
            end = reading.end(db)
    except StorageError as error:
        # Without its write-ahead log a young file may have no table yet.
        raise StorageError(f"{error} ({_where(log)}; events below offset {told} were acknowledged)") from error
    if told > end:
        raise StorageError(
            f"{log}: events below offset {told} were acknowledged, but the log ends at {end}: {_where(log)}. "
            "Restore a backup, or give up what is missing with `slatewise rebuild --accept-loss`"
        )


def _where(log: Path) -> str:
    tail = scan(wal_path(log))
    return f"{log.name}-wal is damaged at byte {tail.at}" if tail.torn else f"{log.name}-wal is damaged or missing"


def _decoded(found: bytes) -> int:
    if len(found) < _SIZE:
        return 0
    packed, summed = found[: _OFFSET.size], found[_OFFSET.size : _SIZE]
    return int(_OFFSET.unpack(packed)[0]) if _SUM.unpack(summed)[0] == crc32(packed) else 0

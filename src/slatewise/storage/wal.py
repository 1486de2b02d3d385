"""The write-ahead log file as bytes: how far it can be believed, and on which byte that ends. Knows no table.

SQLite reads up to the first frame whose checksum does not fit and says nothing about the rest. After a crash the rest
is a torn tail, a transaction that nobody was told of; anything else is damage, and `mark` tells the two apart.
Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

_HEADER, _FRAME = 32, 24
_MAGIC_LITTLE, _MAGIC_BIG = 0x377F0682, 0x377F0683

Words = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Tail:
    """What a write-ahead log holds: frames up to the last commit, and frames of this log behind it."""

    committed: int = 0
    torn: int = 0
    at: int = 0
    """The byte at which what can be believed ends."""


def wal_path(log: Path) -> Path:
    """Return where SQLite keeps the write-ahead log of a log file."""
    return log.with_name(log.name + "-wal")


def scan(wal: Path) -> Tail:
    """Return what the file holds. Raises OSError. Nobody may be writing it, or their frames count as torn."""
    try:
        found = wal.read_bytes()
    except FileNotFoundError:
        return Tail()
    if len(found) < _HEADER:
        return Tail()
    magic, _, size, _, salt_1, salt_2, sum_1, sum_2 = struct.unpack_from(">8I", found)
    order = {_MAGIC_LITTLE: "<u4", _MAGIC_BIG: ">u4"}.get(magic)
    if order is None or not 512 <= size <= 65536:
        return Tail()
    sums = _Sums(6)
    state = sums.advanced((0, 0), sums.added(np.frombuffer(found, order, 6)[None, :].astype(np.uint32))[0])
    if state != (sum_1, sum_2):
        return Tail()
    frames = np.frombuffer(found, np.uint8)[_HEADER:]
    frames = frames[: len(frames) // (_FRAME + size) * (_FRAME + size)].reshape(-1, _FRAME + size)
    heads = np.ascontiguousarray(frames[:, :_FRAME]).view(">u4").astype(np.int64)
    # An earlier generation of the log ends in frames with other salts.
    ours = (heads[:, 2] == salt_1) & (heads[:, 3] == salt_2)
    length = len(ours) if ours.all() else int(ours.argmin())
    if not length:
        return Tail(at=_HEADER)
    words = np.concatenate([frames[:length, :8], frames[:length, _FRAME:]], axis=1)
    sums = _Sums((size + 8) // 4)
    added = sums.added(np.ascontiguousarray(words).view(order).astype(np.uint32))
    committed = 0
    for i in range(length):
        state = sums.advanced(state, added[i])
        if state != (heads[i, 4], heads[i, 5]):
            break
        if heads[i, 1]:  # the frame that commits names the size of the file
            committed = i + 1
    return Tail(committed, length - committed, _HEADER + committed * (_FRAME + size))


def write_again(wal: Path) -> None:
    """Write the file over with its own bytes and sync it. Raises OSError. Nobody may be appending to it.

    After a failed sync the kernel takes the pages for clean: a later sync says nothing of what never reached the disk.
    """
    if not wal.exists():
        return
    with open(wal, "r+b") as file:
        at = 0
        while found := file.read(1 << 20):
            file.seek(at)
            at += file.write(found)
        file.flush()
        os.fsync(file.fileno())


class _Sums:
    """SQLite's running sums over *length* words: ``s1 += x[i] + s2; s2 += x[i + 1] + s1``, modulo 2^32.

    They are linear in the words and in what the sums were before, with Fibonacci numbers as weights.
    """

    def __init__(self, length: int) -> None:
        numbers = [0, 1]
        while len(numbers) < length + 2:
            numbers.append((numbers[-1] + numbers[-2]) & 0xFFFFFFFF)
        self._of_state = numbers[length - 1 :]
        weights = np.array(numbers[: length + 1], np.uint32)[::-1]
        self._first, self._second = weights[1:], weights[:-1]

    def added(self, words: Words) -> Words:
        """Return what each row's words add to the two sums; shape ``(n, 2)``."""
        both = [(words * weights).sum(1, dtype=np.uint32) for weights in (self._first, self._second)]
        return np.stack(both, axis=1)

    def advanced(self, state: tuple[int, int], added: Words) -> tuple[int, int]:
        """Return the sums after one row."""
        low, middle, high = self._of_state
        first = (state[0] * low + state[1] * middle + int(added[0])) & 0xFFFFFFFF
        return first, (state[0] * middle + state[1] * high + int(added[1])) & 0xFFFFFFFF

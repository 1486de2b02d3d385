"""What a process that lasts does about its memory: settles, hands back, waits to look. Knows not what is in it."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def settle() -> None:
    """Take what is in memory now for lasting: the collector looks at it no more.

    A sweep over what a server loads before its first request stops all threads for tens of milliseconds. Whatever is
    let go of is freed all the same, unless it holds itself.
    """
    gc.collect()
    gc.freeze()


def give_back() -> bool:
    """Ask the C library to return what it keeps of freed memory; False where it has no such call.

    glibc keeps a heap per thread and seldom shrinks one: after a swap the old bundle's arrays are free, yet still
    ours. Takes milliseconds, without the interpreter's lock.
    """
    if sys.platform == "win32":
        return False
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return False
    trim(0)
    return True


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no unreachable cycles until the block ends: a million new objects that all stay are walked in vain."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

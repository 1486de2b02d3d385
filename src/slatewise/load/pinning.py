"""Keeps the generator on one core."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from slatewise.domain.errors import InputError


def check_cpu(cpu: int | None) -> None:
    """Raise InputError for a core that this process may not use, or where cores cannot be chosen."""
    if cpu is None:
        return
    if not hasattr(os, "sched_setaffinity"):
        raise InputError("cpu", cpu, "nothing: this system does not let processes choose their core")
    allowed = sorted(os.sched_getaffinity(0))
    if cpu not in allowed:
        raise InputError("cpu", cpu, "one of " + ", ".join(map(str, allowed)))


@contextmanager
def pinned(cpu: int | None) -> Iterator[None]:
    """Stay on a core while the block runs; anywhere for None. Raises InputError as `check_cpu` does."""
    check_cpu(cpu)
    if cpu is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)

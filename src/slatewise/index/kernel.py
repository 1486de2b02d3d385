"""The kernel that scans vectors: the native one where it was built, else the same in NumPy. Chosen once, at import.

Built by the package's own build from ``native``; where no compiler was at hand the install succeeds without it.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import Any

from slatewise.index import kernel_numpy

kernel: Any = kernel_numpy
with suppress(ImportError):
    kernel = import_module("slatewise.index._kernel")


def kernel_name() -> str:
    """Return which kernel runs: an instruction set (avx512-vnni, avx2, neon-dotprod), portable, or numpy."""
    return str(kernel.use())

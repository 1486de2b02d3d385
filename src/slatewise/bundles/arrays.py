"""Arrays in a bundle: plain ``.npy``, mapped rather than read. Knows no meaning of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slatewise.domain.errors import BundleError


def save_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write *array* as ``.npy`` at exactly *path*. Raises BundleError for objects, which would need pickle."""
    if array.dtype.hasobject:
        raise BundleError(f"array {path.name}: holds Python objects, expected numbers")
    with open(path, "wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False)


def load_array(
    path: Path, *, dtype: npt.DTypeLike, shape: tuple[int | None, ...], mapped: bool = True
) -> npt.NDArray[Any]:
    """Return the array at *path*, read-only: mapped from the file, or read into memory.

    In *shape*, None stands for any length. Raises BundleError naming the file where it is missing, damaged, holds
    objects, or differs from what is expected.
    """
    try:
        array = _open(path, mapped)
    except (OSError, ValueError, EOFError) as error:
        raise BundleError(f"array {path.name}: {error}") from error
    fits = len(shape) == array.ndim and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    if array.dtype != np.dtype(dtype) or not fits:
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise BundleError(
            f"array {path.name}: {array.dtype} of shape {array.shape}, expected {np.dtype(dtype)} of shape ({wanted})"
        )
    array.flags.writeable = False
    return array


def _open(path: Path, mapped: bool) -> npt.NDArray[Any]:
    if mapped:
        return np.asarray(np.lib.format.open_memmap(path, mode="r"))
    with open(path, "rb") as file:
        array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array

"""Many small ridge regressions at once: one side of implicit matrix factorisation, given the other side's vectors.

A user with the vectors X ``(n, d)`` of the items in its history (an item with those of its users) is the u that
minimises ``|1 - X u|^2 + alpha |F u|^2 + lambda |u|^2``, F being all vectors of the other side. In the eigenbasis of
``F^T F`` the last two terms are a diagonal D, so ``(D + X^T X) u = X^T 1``. With fewer than d entries that is, by
Woodbury's identity, ``u = D^-1 X^T (I + X D^-1 X^T)^-1 1``: a system of n instead of d unknowns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from slatewise.domain.ids import Rows, Vectors

CELLS = 1 << 19
"""Numbers in one batch of padded vectors, 2 MB: three such arrays are held at once, and should stay in the cache."""

PRODUCT = 1 << 18
"""Multiplications in one matrix product, at most."""

SYSTEM = 64
"""Unknowns in one call to LAPACK, at most."""

Stack: TypeAlias = npt.NDArray[np.float32]
"""One matrix per user or item, ``(b, n, m)``."""

Take: TypeAlias = Callable[[Rows, int, int], Stack]
"""``(which, start, stop)`` -> those places of these lists of vectors, ``(which.size, stop - start, d)``, 0 beyond."""


@dataclass(frozen=True, slots=True)
class Ridge:
    """What pulls a vector towards zero: ``alpha * spectrum + lambda * (n + alpha * others)^exponent`` per dimension.

    ``spectrum`` float32 ``(d,)`` holds the eigenvalues of the other side's Gram matrix, ``others`` is its size,
    ``unobserved`` is alpha, ``regularisation`` lambda, n the entries of the one that is solved for. After Rendle,
    Krichene, Zhang and Koren, "Revisiting the performance of iALS on item recommendation benchmarks", RecSys 2022.
    """

    spectrum: npt.NDArray[np.float32]
    others: int
    unobserved: float
    regularisation: float
    exponent: float

    @property
    def dim(self) -> int:
        return self.spectrum.size

    def diagonal(self, entries: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return the diagonals for ones with this many *entries* each; ``(b, d)``, above zero."""
        pull = self.regularisation * (entries + self.unobserved * self.others) ** self.exponent
        return (self.unobserved * self.spectrum + pull[:, None]).astype(np.float32)


def in_eigenbasis(vectors: Vectors) -> tuple[Vectors, npt.NDArray[np.float32]]:
    """Rotate *vectors* ``(n, d)`` so that their Gram matrix is diagonal; return them and that diagonal, largest first.

    All dot products with vectors solved for afterwards are as they would be without the rotation.
    """
    values, rotation = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))
    rotated = vectors @ np.ascontiguousarray(rotation[:, ::-1], np.float32)
    return rotated, np.maximum(values[::-1], 0.0).astype(np.float32)


def solve_rows(matrix: Any, vectors: Vectors, ridge: Ridge) -> Vectors:
    """Solve for every row of a CSR 0/1 *matrix* ``(b, n)`` whose columns have *vectors* ``(n, d)`` in the eigenbasis.

    Returns ``(b, d)``, zeros for rows without entries. Columns with a zero vector say nothing and are not counted.
    """
    # Only the columns in use are copied: a single history must not cost a pass over all vectors.
    used = np.zeros(len(vectors), bool)
    used[matrix.indices] = True
    column = (np.cumsum(used) - 1)[matrix.indices]
    padded = np.vstack([vectors[used], np.zeros((1, ridge.dim), np.float32)])
    counted = np.zeros(len(vectors), np.float32)
    counted[used] = padded[:-1].any(1)
    entries = (matrix @ counted).astype(np.int64)

    def take(which: Rows, start: int, stop: int) -> Stack:
        place = matrix.indptr[which][:, None] + np.arange(start, stop)
        inside = place < matrix.indptr[which + 1][:, None]
        found: Stack = padded[np.where(inside, column[np.where(inside, place, 0)], -1)]
        return found

    return solve_lists(np.diff(matrix.indptr), entries, take, ridge)


def solve_lists(length: Rows, entries: npt.NDArray[np.int64], take: Take, ridge: Ridge) -> Vectors:
    """Solve for lists of vectors of any *length* ``(b,)``, of which *entries* ``(b,)`` count; returns ``(b, d)``.

    Vectors are asked for by *take*, batch by batch; a list's zero vectors change nothing.
    """
    solved = np.zeros((length.size, ridge.dim), np.float32)
    # Batches of like length waste little on padding.
    order = np.argsort(np.where(entries > 0, -length, 1), kind="stable")[: np.count_nonzero(entries)]
    start = 0
    while start < order.size:
        width = int(length[order[start]])
        batch = order[start : start + max(1, CELLS // (width * ridge.dim))]
        solved[batch] = _solve_batch(batch, width, take, ridge.diagonal(entries[batch]) ** -0.5)
        start += batch.size
    return solved


def _solve_batch(batch: Rows, width: int, take: Take, scale: Vectors) -> Vectors:
    # Scaled by D^-1/2 both systems are the unit matrix plus something positive: well conditioned in float32.
    dim = scale.shape[1]
    if width <= dim:
        scaled = take(batch, 0, width) * scale[:, None]
        weight = _solve(_with_itself(scaled), np.ones((batch.size, width, 1), np.float32))
        return scale * (weight.transpose(0, 2, 1) @ scaled)[:, 0]
    gram, target = np.zeros((batch.size, dim, dim), np.float32), np.zeros((batch.size, dim, 1), np.float32)
    step = max(1, CELLS // (batch.size * dim))
    for lo in range(0, width, step):
        scaled = take(batch, lo, min(lo + step, width)) * scale[:, None]
        gram += _with_itself(scaled.transpose(0, 2, 1))
        target += scaled.sum(1)[..., None]
    return scale * _solve(gram, target)[..., 0]


def _with_itself(stack: Stack) -> Stack:
    """Return ``M M^T`` for every M of the stack ``(b, n, m)``."""
    # Two copies in slices: BLAS starts threads for larger products, and for any with itself (syrk), which costs up to a
    # hundred times the product where other work keeps the cores busy.
    size = stack.shape[1]
    step = max(8, PRODUCT // size**2)
    twin = stack.copy(order="K").transpose(0, 2, 1)
    total: Stack = stack[:, :, :step] @ twin[:, :step]
    for lo in range(step, stack.shape[2], step):
        total += stack[:, :, lo : lo + step] @ twin[:, lo : lo + step]
    return total


def _solve(gram: Stack, target: Stack) -> Stack:
    """Solve ``(I + gram) x = target`` for every symmetric matrix of the stack; *gram* is overwritten."""
    own = np.arange(gram.shape[1])
    gram[:, own, own] += 1.0
    return _by_halves(gram, target)


def _by_halves(matrix: Stack, target: Stack) -> Stack:
    # Elimination of the first half, then the rest: LAPACK as well starts threads for larger systems.
    size = matrix.shape[1]
    if size <= SYSTEM:
        solved: Stack = np.linalg.solve(matrix, target)
        return solved
    half = size // 2
    side = matrix[:, :half, half:]
    first = _by_halves(matrix[:, :half, :half], np.concatenate([side, target[:, :half]], axis=2))
    across, known = first[..., : size - half], first[..., size - half :]
    below = side.transpose(0, 2, 1)
    last = _by_halves(matrix[:, half:, half:] - below @ across, target[:, half:] - below @ known)
    return np.concatenate([known - across @ last, last], axis=1)

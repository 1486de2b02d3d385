"""Where items lie among tastes: what their attributes say, and what only they are. Numpy only; fitted by `training`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slatewise.domain.ids import Vectors
from slatewise.ports.models import Bag

CHUNK = 4_000
"""Items placed at once: the rows of all their tokens are held together."""
SMALLEST = 1e-9


@dataclass(frozen=True, slots=True)
class TasteTable:
    """An item's taste is the direction of its tokens' sum and its residual, its appeal the last number of that sum.

    ``tokens`` is ``(tokens, d + 1)``, row 0 zero; ``residual`` ``(n_items, d + 1)``, which items of later do not have.
    """

    tokens: Vectors
    residual: Vectors

    def items(self, bags: Bag) -> Vectors:
        """Return unit vectors and appeals ``(n, d + 1)`` of all items whose bags these are, by row."""
        n = len(bags.token)
        parts = [
            self._placed(Bag(bags.token[lo : lo + CHUNK], bags.weight[lo : lo + CHUNK]), self.residual[lo : lo + CHUNK])
            for lo in range(0, n, CHUNK)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.tokens.shape[1]), np.float32)

    def item(self, row: int, bag: Bag) -> Vectors:
        """Return the same of one item, ``(d + 1,)``, as its attributes are now."""
        residual = self.residual[row : row + 1]
        if not len(residual):
            residual = np.zeros((1, self.tokens.shape[1]), np.float32)
        placed: Vectors = self._placed(bag, residual)[0]
        return placed

    def _placed(self, bags: Bag, residual: Vectors) -> Vectors:
        placed = np.einsum("nm,nmd->nd", softened(bags.weight), self.tokens[bags.token]) + residual
        norm = np.linalg.norm(placed[:, :-1], axis=1, keepdims=True)
        placed[:, :-1] /= np.maximum(norm, SMALLEST)
        found: Vectors = placed.astype(np.float32)
        return found


def softened(weight: Vectors) -> Vectors:
    """Return the weights' signed roots: a word among four then speaks half as loud as a value alone, not a quarter."""
    soft: Vectors = np.copysign(np.sqrt(np.abs(weight)), weight).astype(np.float32)
    return soft

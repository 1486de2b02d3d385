"""A linear map from attributes to factors: where factorised items have vectors, items nobody has touched get some too.

Ridge regression of factors on attribute tokens (Gantner et al., "Learning attribute-to-feature mappings for cold-start
recommendations", ICDM 2010), solved by conjugate gradients, so a vocabulary of any size costs sparse products only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slatewise.domain.ids import Vectors
from slatewise.ports.models import Bag

RIDGE = 5.0
TRUST = 10.0
"""Interactions at which an item's factors count half: those of rarely touched items are mostly noise."""

ITERATIONS = 40


def fit_attribute_map(
    bags: Bag, tokens: int, factors: Vectors, degree: npt.NDArray[np.float64], ridge: float = RIDGE
) -> Vectors:
    """Return ``(tokens, d)``: the sum of its tokens' rows, by weight, estimates an item's *factors* ``(n_items, d)``.

    *degree* ``(n_items,)`` counts interactions; items without any teach nothing. Token 0 is padding and stays zero.
    """
    weight = degree / (degree + TRUST)
    table = (sp.diags(np.sqrt(weight)) @ _table(bags, tokens)).tocsr().astype(np.float32)
    target = table.T @ (np.sqrt(weight)[:, None] * factors).astype(np.float32)
    solution = np.zeros_like(target)
    residual = target.copy()
    direction = residual.copy()
    norm = (residual**2).sum(0)
    for _ in range(ITERATIONS):
        product = table.T @ (table @ direction) + np.float32(ridge) * direction
        step = norm / np.maximum((direction * product).sum(0), 1e-20)
        solution += step * direction
        residual -= step * product
        before, norm = norm, (residual**2).sum(0)
        direction = residual + norm / np.maximum(before, 1e-20) * direction
    solution[0] = 0.0
    estimated: Vectors = solution.astype(np.float32)
    return estimated


def estimate(bags: Bag, mapped: Vectors) -> Vectors:
    """Return what the map says of these items; shape ``(n, d)``, zeros without a known token."""
    found: Vectors = np.einsum("nm,nmd->nd", bags.weight, mapped[bags.token]).astype(np.float32)
    return found


def _table(bags: Bag, tokens: int) -> sp.csr_matrix:
    n, m = bags.token.shape
    row = np.repeat(np.arange(n), m)
    held = bags.token.ravel() > 0
    columns = (row[held], bags.token.ravel()[held])
    return sp.csr_matrix((bags.weight.ravel()[held], columns), shape=(n, tokens))

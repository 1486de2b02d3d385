"""Neighbour lists from order: what tends to come within the next steps, on data whose order is known."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from slatewise.domain.ids import Rows
from slatewise.models.item_item import ItemItem, strongest

WINDOW = 10
STEP_DECAY = 0.8
FROM_EXPONENT = 0.75
TO_EXPONENT = 0.25
PRIOR = 20.0
"""Added to an item's count, so that what followed it twice of three times does not shout."""


def fit_following(user: Rows, item: Rows, n_items: int, neighbours: int, decay: float, last: int = WINDOW) -> ItemItem:
    """Count which item follows which within `WINDOW` steps and keep each item's strongest *neighbours*.

    *user* and *item* ``(n,)`` hold each user's history in a row, oldest first. A pair at distance l weighs
    `STEP_DECAY`^(l-1); sums are divided by ``(n_i + PRIOR)^.75 n_j^.25``, between what is likely and what is special.
    *decay* and *last* say how a history is read: see `ItemItem`.
    """
    total = sp.csr_matrix((n_items, n_items), dtype=np.float32)
    for distance in range(1, min(WINDOW, item.size - 1) + 1):
        before, after = item[:-distance], item[distance:]
        pair = (user[:-distance] == user[distance:]) & (before != after)
        weight = np.full(int(pair.sum()), STEP_DECAY ** (distance - 1), np.float32)
        total = total + sp.csr_matrix((weight, (before[pair], after[pair])), shape=total.shape)
    count = np.bincount(item, minlength=n_items)
    source = sp.diags(((count + PRIOR) ** -FROM_EXPONENT).astype(np.float32))
    target = sp.diags((np.maximum(count, 1.0) ** -TO_EXPONENT).astype(np.float32))
    return strongest((source @ total @ target).tocsr(), neighbours, decay, last)

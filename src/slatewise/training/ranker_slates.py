"""Slates as the ranker's tensors, which of them judge, and how well a score orders them. Knows no model."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from slatewise.domain.ids import Mask, Vectors
from slatewise.ports.models import Bag
from slatewise.training.slates import Slates

VALIDATION_SHARE = 0.1
SAMPLED = 64
"""Candidates of a slate one update looks at: all that were wanted, the others by chance. Judged on whole slates."""

ALIKE = 16
"""Slates whose lengths differ by less may be in one batch."""


class RankerData:
    """Slates, who asked for each from where, and the frozen item arrays, handed out as the modules' inputs by name."""

    def __init__(self, slates: Slates, requests: Bag, embeddings: Vectors, vectors: Vectors) -> None:
        self.slates = slates
        self._requests = requests
        self._embeddings = torch.from_numpy(embeddings)
        self._vectors = torch.from_numpy(vectors)

    def inputs(self, at: np.ndarray, columns: np.ndarray | None = None) -> dict[str, Tensor]:
        """Return the inputs for these slates; of each, all candidates or those in *columns* ``(l, n)``."""
        s = self.slates
        chosen, feature = s.candidate[at], s.feature[at]
        if columns is not None:
            chosen = np.take_along_axis(chosen, columns, 1)
            feature = np.take_along_axis(feature, columns[..., None], 1)
        held = torch.from_numpy((s.past.row[at] >= 0).astype(np.float32))
        item = self._embeddings[torch.from_numpy(np.maximum(s.past.row[at], 0))] * held[..., None]
        return {
            "item": item,
            "action": torch.from_numpy(s.past.action[at]),
            "gap": torch.from_numpy(s.past.gap[at]),
            "mask": held,
            "user": torch.from_numpy(s.vector[at]),
            "user_token": torch.from_numpy(self._requests.token[at]),
            "user_weight": torch.from_numpy(self._requests.weight[at]),
            "candidate": self._vectors[torch.from_numpy(np.maximum(chosen, 0))],
            "feature": torch.from_numpy(feature),
        }


def judging(slates: Slates, seed: int) -> Mask:
    """Mark the slates of a tenth of the users, who judge and calibrate and are not learned from."""
    users = np.unique(slates.user)
    size = max(1, math.ceil(users.size * VALIDATION_SHARE)) if users.size > 1 else 0
    return np.isin(slates.user, np.random.default_rng(seed).permutation(users)[:size])


def sampled_columns(slates: Slates, at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return up to `SAMPLED` columns of each slate ``(l, n)``: what was wanted, then candidates drawn evenly."""
    key = rng.random(slates.candidate[at].shape)
    key[slates.label[at].any(2)] = 2.0
    key[slates.candidate[at] < 0] = -1.0
    kept = max(1, min(SAMPLED, int((key >= 0).sum(1).max(initial=0))))
    return np.argpartition(-key, kept - 1, axis=1)[:, :kept]


def shuffled_batches(slates: Slates, train: np.ndarray, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return one pass over the slates *train* as batches of up to *size* in random order, about as long ones together.

    Ten shown items padded to the width of a retrieved list would cost what the list costs.
    """
    held = (slates.candidate[train] >= 0).sum(1)
    order = rng.permutation(train.size)
    order = order[np.argsort(np.ceil(np.minimum(held, SAMPLED) / ALIKE)[order], kind="stable")]
    batches = [train[order[lo : lo + size]] for lo in range(0, train.size, size)]
    return [batches[i] for i in rng.permutation(len(batches)).tolist()]


def slate_ndcg(score: np.ndarray, slates: Slates, at: np.ndarray, k: int = 10) -> float:
    """Return the mean of `slate_ndcgs`, 0 without slates."""
    return float(slate_ndcgs(score, slates, at, k).mean()) if at.size else 0.0


def slate_ndcgs(score: np.ndarray, slates: Slates, at: np.ndarray, k: int = 10) -> np.ndarray:
    """Return each slate's NDCG@k by scores ``(l, k)`` over its own candidates, NaN last, shape ``(l,)``.

    Gains are the actions' weights, as the served score adds them up. What retrieval missed is not the ranker's to find.
    """
    score = np.where(slates.candidate[at] < 0, -np.inf, np.nan_to_num(score, nan=-1e9))
    order = np.argsort(-score, axis=1, kind="stable")[:, :k]
    gain = slates.gain(at)
    discount = 1.0 / np.log2(np.arange(2, order.shape[1] + 2))
    ideal = (-np.sort(-gain, axis=1)[:, : discount.size] * discount).sum(1)
    found: np.ndarray = (np.take_along_axis(gain, order, 1) * discount).sum(1) / np.maximum(ideal, 1e-9)
    return found

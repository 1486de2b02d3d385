"""Histories as the towers and the ranker read them: embeddings, actions, times. One definition for both sides."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slatewise.domain.history import History
from slatewise.domain.ids import Vectors
from slatewise.ports.models import UNKNOWN_AGE, Sequence

GAP_BUCKETS = 34
"""Bucket 0: no time known or nothing before; bucket b: a gap of about 2^(b-1) seconds, up to 2^32."""


def gap_buckets(at: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the bucket of the time since the interaction before, shape ``(..., t)``; the first one has bucket 0."""
    bucket = np.zeros(at.shape, np.int64)
    gap = at[..., 1:] - at[..., :-1]
    known = np.isfinite(gap)
    seconds = np.maximum(gap, 0.0)
    if not known.all():
        seconds = np.where(known, seconds, 0.0)
    seconds += 1.0
    np.log2(seconds, out=seconds)
    np.floor(seconds, out=seconds)
    seconds += 1.0
    bucket[..., 1:] = np.minimum(seconds, GAP_BUCKETS - 1) * known
    return bucket


def ages(at: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return the seconds from each step to the newest one, shape ``(..., t)``; `UNKNOWN_AGE` where a time is NaN.

    In float32 the last half year is exact to the second; ages of ten years are off by up to 16 s.
    """
    known = np.isfinite(at)
    if at.shape[-1] and known.all():
        age: npt.NDArray[np.float32] = (at.max(-1, keepdims=True) - at).astype(np.float32)
        return age
    newest = np.max(at, axis=-1, keepdims=True, where=known, initial=-np.inf)
    return np.where(known, newest - np.where(known, at, 0.0), UNKNOWN_AGE).astype(np.float32)


def as_sequence(history: History, limit: int, embeddings: Vectors) -> Sequence:
    """Return the newest *limit* interactions as a batch of one. *embeddings* are those of that many newest rows."""
    recent = history.last(limit)
    # Gaps are taken after the cut, so the oldest kept interaction has bucket 0: just as in training's windows.
    gap = gap_buckets(recent.at)
    return Sequence(
        item=embeddings[None].astype(np.float32, copy=False),
        action=recent.action[None],
        gap=gap[None],
        age=ages(recent.at)[None],
        mask=np.ones((1, len(recent)), np.float32),
    )

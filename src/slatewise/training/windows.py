"""Cuts histories into training windows and windows into padded batches. Numpy only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from slatewise.domain.history import History
from slatewise.features.sequences import ages, gap_buckets
from slatewise.ports.models import UNKNOWN_AGE
from slatewise.training.material import Histories

FILL = 0.75
"""Steps of a batch, of ``batch_size`` windows of full length: with the default, 24 of those or many more short ones."""

MOST_WINDOWS = 32
"""Windows of a batch at most, in batch sizes: bounds what very short histories put into one step."""

SPREAD = 0.1
"""How much longer a window may seem when windows are sorted by length: mixes batches anew at little padding."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded windows, all ``(b, t)``: step j reads ``row[:, :j]`` and predicts ``row[:, j]`` where ``wanted``.

    ``row`` is -1 for padding.
    """

    user: np.ndarray
    row: np.ndarray
    action: np.ndarray
    gap: np.ndarray
    age: np.ndarray
    wanted: np.ndarray


@dataclass(frozen=True, slots=True)
class Padded:
    """Right-padded histories, ``(n, t)`` each, t >= 1: rows (-1 = padding), actions, gap buckets, ages in seconds."""

    row: np.ndarray
    action: np.ndarray
    gap: np.ndarray
    age: np.ndarray

    def take(self, at: slice | np.ndarray | tuple[np.ndarray, ...]) -> Padded:
        """Return the chosen histories; with two indices, of those the chosen steps."""
        return Padded(*(getattr(self, f.name)[at] for f in fields(self)))


def pad_histories(histories: Sequence[History], length: int) -> Padded:
    """Return the newest *length* steps of each history."""
    width = max(1, max((min(len(h), length) for h in histories), default=1))
    row = np.full((len(histories), width), -1, np.int64)
    action = np.zeros((len(histories), width), np.int64)
    gap = np.zeros((len(histories), width), np.int64)
    age = np.full((len(histories), width), UNKNOWN_AGE, np.float32)
    for i, history in enumerate(histories):
        recent = history.last(length)
        row[i, : len(recent)] = recent.row
        action[i, : len(recent)] = recent.action
        gap[i, : len(recent)] = gap_buckets(recent.at)
        age[i, : len(recent)] = ages(recent.at)
    return Padded(row, action, gap, age)


def batches(
    histories: Histories,
    positive: frozenset[int],
    length: int,
    batch_size: int,
    ordered: bool,
    rng: np.random.Generator,
) -> Iterator[Batch]:
    """Yield one pass over the histories: windows of up to *length* + 1 steps, similar lengths together.

    Long histories are cut at a random phase, so no step is always the first of its window. Unordered histories are
    shuffled anew, so that no order can be learned. About ``FILL * batch_size * length`` steps go into one batch.
    """
    starts, ends = _window_borders(histories, length + 1, rng)
    size = ends - starts
    order = np.argsort(size * (1.0 + SPREAD * rng.random(size.size)), kind="stable")
    groups = _groups(size[order], batch_size, length + 1)
    for group in rng.permutation(len(groups)):
        chosen = order[groups[group]]
        yield _batch(histories, positive, starts[chosen], ends[chosen], ordered, rng)


def _window_borders(histories: Histories, longest: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    lo, hi = histories.start[:-1], histories.start[1:]
    lo, hi = lo[hi - lo >= 2], hi[hi - lo >= 2]
    # Half of the passes end windows at the newest interaction, half at a random phase before it.
    is_shifted = (hi - lo > longest) & (rng.random(lo.size) < 0.5)
    last = hi - np.where(is_shifted, rng.integers(0, longest, lo.size), 0)
    cuts = -(-(last - lo) // longest)
    lo = np.repeat(lo, cuts)
    end = np.repeat(last, cuts) - longest * (np.arange(lo.size) - np.repeat(np.cumsum(cuts) - cuts, cuts))
    start = np.maximum(lo, end - longest)
    # A single step left over at the old end has nothing to read: it is left out.
    kept = end - start >= 2
    return start[kept], end[kept]


def _groups(size: np.ndarray, batch_size: int, longest: int) -> list[slice]:
    """Cut nearly sorted windows into groups of about equal numbers of steps, padding counted in."""
    groups: list[slice] = []
    lo = 0
    while lo < size.size:
        width = np.maximum.accumulate(size[lo : lo + batch_size * MOST_WINDOWS])
        steps = width * np.arange(1, width.size + 1)
        hi = lo + max(1, int(np.searchsorted(steps, FILL * batch_size * longest, side="right")))
        groups.append(slice(lo, hi))
        lo = hi
    return groups


def _batch(
    histories: Histories,
    positive: frozenset[int],
    starts: np.ndarray,
    ends: np.ndarray,
    ordered: bool,
    rng: np.random.Generator,
) -> Batch:
    width = int((ends - starts).max())
    place = starts[:, None] + np.arange(width)
    held = place < ends[:, None]
    if not ordered:
        key = np.where(held, rng.random(place.shape), 2.0)
        place = np.take_along_axis(place, np.argsort(key, axis=1), 1)
    place = np.minimum(place, len(histories.ordered) - 1)
    source = histories.ordered
    row = np.where(held, source.item[place], -1)
    action = np.where(held, source.action[place], 0)
    at = np.where(held, source.at[place], np.nan)
    before = np.concatenate([np.full((len(row), 1), -2), row[:, :-1]], 1)
    # Wanting the item that was touched just now teaches nothing but echo.
    wanted = held & np.isin(action, list(positive)) & (row != before)
    user = source.user[starts]
    return Batch(user, row, action, gap_buckets(at), ages(at), wanted)

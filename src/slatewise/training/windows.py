"""Cuts histories into training windows and windows into padded batches. Numpy only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from slatewise.domain.history import History
from slatewise.features.sequences import gap_buckets
from slatewise.training.material import Histories


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded windows, all ``(b, t)``: step j reads ``row[:, :j]`` and predicts ``row[:, j]`` where ``wanted``.

    ``row`` is -1 for padding.
    """

    user: np.ndarray
    row: np.ndarray
    action: np.ndarray
    gap: np.ndarray
    wanted: np.ndarray


def pad_histories(histories: Sequence[History], length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows (-1 = padding), actions and gap buckets of the newest *length* steps; ``(n, t)`` each, t >= 1."""
    width = max(1, max((min(len(h), length) for h in histories), default=1))
    row = np.full((len(histories), width), -1, np.int64)
    action = np.zeros((len(histories), width), np.int64)
    gap = np.zeros((len(histories), width), np.int64)
    for i, history in enumerate(histories):
        recent = history.last(length)
        row[i, : len(recent)] = recent.row
        action[i, : len(recent)] = recent.action
        gap[i, : len(recent)] = gap_buckets(recent.at)
    return row, action, gap


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
    shuffled anew, so that no order can be learned. About ``batch_size * length`` steps go into one batch.
    """
    starts, ends = _window_borders(histories, length + 1, rng)
    size = ends - starts
    order = np.argsort(size + rng.random(size.size) * 0.2 * length, kind="stable")
    groups = _groups(size[order], batch_size, length + 1)
    for group in rng.permutation(len(groups)):
        chosen = order[groups[group]]
        yield _batch(histories, positive, starts[chosen], ends[chosen], ordered, rng)


def _window_borders(histories: Histories, longest: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    starts: list[int] = []
    ends: list[int] = []
    for lo, hi in zip(histories.start[:-1].tolist(), histories.start[1:].tolist(), strict=True):
        if hi - lo < 2:
            continue
        # Half of the passes end windows at the newest interaction, half at a random phase before it.
        phase = int(rng.integers(0, longest)) if hi - lo > longest and rng.random() < 0.5 else 0
        for end in range(hi - phase, lo, -longest):
            if end - lo >= 2:
                starts.append(max(lo, end - longest))
                ends.append(end)
    return np.array(starts, np.int64), np.array(ends, np.int64)


def _groups(size: np.ndarray, batch_size: int, longest: int) -> list[slice]:
    """Cut sorted windows into groups of about equal numbers of steps, at most eight batch sizes of windows."""
    groups: list[slice] = []
    lo = 0
    while lo < size.size:
        hi = min(lo + batch_size * 8, size.size)
        while hi - lo > 1 and (hi - lo) * int(size[lo:hi].max()) > batch_size * longest:
            hi = lo + max(1, (hi - lo) * 3 // 4)
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
    gap = np.stack([gap_buckets(times) for times in at])
    return Batch(user, row, action, gap, wanted)

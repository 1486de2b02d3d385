"""The kernel without a compiler: the functions of ``native/module.cpp``, slower, over the same arrays.

Scans score vectors in full instead of codes, so a short list is never wrong. Arguments are those of the native module.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

LANES = 16
PART = 65_536
"""Vectors handled at once, which bounds the memory."""

Array = npt.NDArray[Any]


class _Segment(NamedTuple):
    codes: Array
    scales: Array
    vectors: Array
    rows: Array
    deaths: Array
    hints: Array


class _Lists(NamedTuple):
    means: Array
    spread: Array
    offsets: Array


def use(name: str | None = None) -> str:
    """Return "numpy". Raises ValueError for another *name*: there are no instruction sets here."""
    if name not in (None, "numpy"):
        raise ValueError(f"instructions: {name} is not available without the native kernel")
    return "numpy"


def available() -> list[str]:
    return ["numpy"]


def segment(
    codes: Array,
    scales: Array,
    vectors: Array,
    rows: Array,
    deaths: Array,
    hints: Array,
    dim: int,
    blocks: int,
    writable: bool,
) -> _Segment:
    wanted = {
        "codes": (codes, blocks * -(-dim // 4) * 4 * LANES),
        "scales": (scales, blocks * LANES),
        "vectors": (vectors, blocks * LANES * dim),
        "rows": (rows, blocks * LANES),
        "deaths": (deaths, blocks * LANES),
        "hints": (hints, blocks),
    }
    for name, (array, size) in wanted.items():
        if array.size < size:
            raise ValueError(f"{name}: {array.size} entries, expected at least {size}")
    return _Segment(codes, scales, vectors, rows, deaths, hints)


def lists(codes: Array, scales: Array, spread: Array, offsets: Array, dim: int) -> _Lists:
    count = offsets.size - 1
    if offsets[0] != 0 or (np.diff(offsets) < 0).any():
        raise ValueError("offsets: expected to start at 0 and never fall")
    groups = -(-dim // 4)
    blocks = codes[: -(-count // LANES) * groups * 4 * LANES].reshape(-1, groups, LANES, 4)
    value = blocks.transpose(0, 2, 1, 3).reshape(-1, groups * 4)[:count, :dim].astype(np.float32) - 128
    return _Lists(value * scales[:count, None], spread[:count], offsets)


def place(to: _Segment, vectors: Array, sources: Array | None, targets: Array) -> int:
    dim = to.vectors.shape[1]
    groups = -(-dim // 4)
    for start in range(0, targets.size, PART):
        at = targets[start : start + PART]
        value = vectors[start : start + PART] if sources is None else vectors[sources[start : start + PART]]
        scale = np.abs(value).max(axis=1, initial=0) / np.float32(127)
        usable = scale > np.finfo(np.float32).tiny
        code = np.zeros((at.size, groups * 4), np.int16)
        code[usable, :dim] = np.rint(value[usable] * (1 / scale[usable, None]))
        to.scales[at] = np.where(usable, scale, 0)
        to.vectors[at] = value
        blocks = to.codes.reshape(-1, groups, LANES, 4)
        blocks[at // LANES, :, at % LANES] = (code + 128).astype(np.uint8).reshape(-1, groups, 4)
    return int(targets.size)


def assign(to: _Lists, vectors: Array, dim: int, out: Array) -> int:
    for start in range(0, out.size, PART // 8):
        part = vectors[start : start + PART // 8]
        out[start : start + len(part)] = (part @ to.means.T).argmax(axis=1)
    return int(out.size)


def layout(list_of: Array, offsets: Array, positions: Array) -> int:
    count = np.bincount(list_of, minlength=offsets.size - 1)
    offsets[0] = 0
    np.cumsum(-(-count // LANES), out=offsets[1:])
    order = np.argsort(list_of, kind="stable")
    first = np.cumsum(count) - count
    within = np.arange(list_of.size) - first[list_of[order]]
    positions[order] = offsets[list_of[order]] * LANES + within
    return int(list_of.size)


def search(
    base: _Segment,
    ranked: _Lists,
    fresh: _Segment,
    length: int,
    at: int,
    query: Array,
    allow: Array | None,
    rows: Array,
    scores: Array,
    shortlist: int,
    probes: int,
    quota: int,
) -> int:
    order = np.argsort(-(ranked.means @ query + ranked.spread * np.linalg.norm(query)), kind="stable")
    size = np.diff(ranked.offsets)[order]
    wanted, taken = max(probes, 1), 0
    found = [_permitted(fresh, np.arange(length), at, allow)]
    enough = 0
    while taken < order.size and (taken < wanted or enough < max(shortlist, quota)):
        step = order[taken : max(wanted, 2 * taken)]
        counts = size[taken : taken + step.size] * LANES
        start = ranked.offsets[step] * LANES
        into = np.repeat(start - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        kept = _permitted(base, into, at, allow)
        found.append(kept)
        enough += kept.size
        taken += step.size
    inside = np.concatenate(found[1:]) if len(found) > 1 else np.empty(0, np.int64)
    return _best(((base, inside), (fresh, found[0])), query, rows, scores)


def search_allowed(
    base: _Segment,
    ranked: _Lists,
    fresh: _Segment,
    length: int,
    at: int,
    query: Array,
    allow: Array | None,
    rows: Array,
    scores: Array,
    position_of: Array,
    earlier: Array,
) -> int:
    known = position_of if allow is None else position_of[: allow.size][allow[: position_of.size] != 0]
    position = known.copy()
    end = base.rows.size + length
    while (late := position >= end).any():
        position[late] = earlier[position[late] - base.rows.size]
    inside = position[(position >= 0) & (position < base.rows.size)]
    newer = position[position >= base.rows.size] - base.rows.size
    parts = ((base, _permitted(base, inside, at, None)), (fresh, _permitted(fresh, newer, at, None)))
    return _best(parts, query, rows, scores)


def _permitted(segment: _Segment, position: Array, at: int, allow: Array | None) -> Array:
    row = segment.rows[position]
    kept = (segment.deaths[position] > at) & (row >= 0)
    if allow is not None:
        kept &= row < allow.size
        kept[kept] = allow[row[kept]] != 0
    found: Array = position[kept]
    return found


def _best(parts: tuple[tuple[_Segment, Array], ...], query: Array, rows: Array, scores: Array) -> int:
    # Products that overflow are not finite and so come last; that needs no warning per query.
    with np.errstate(over="ignore", invalid="ignore"):
        score = np.concatenate([np.vecdot(np.take(s.vectors, at, axis=0), query) for s, at in parts])
    row = np.concatenate([s.rows[at] for s, at in parts])
    k = min(rows.size, row.size)
    if k < row.size:
        edge = -np.partition(-score, k - 1)[k - 1] if k else np.inf
        near = np.flatnonzero(score >= edge)
        score, row = score[near], row[near]
    order = np.lexsort((row, -score))[:k]
    rows[:k], scores[:k] = row[order], score[order]
    return int(k)

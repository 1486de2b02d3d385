"""Counting without a compiler: the functions of ``native/features/module.cpp``, slower, over the same arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def between(
    start: Array, following: Array, near: Array, decayed: Array, before: Array, wanted: Array, out: Array
) -> None:
    """Fill *out* ``(2, l, n)`` with what *near* and *decayed* hold of each pair of *before* and *wanted*, else 0."""
    out[:] = 0
    for lag, row in enumerate(before.tolist()):
        if not 0 <= row < start.size - 1 or start[row] == start[row + 1]:
            continue
        part = slice(start[row], start[row + 1])
        at = np.minimum(following[part].searchsorted(wanted), part.stop - part.start - 1)
        held = np.flatnonzero(following[part][at] == wanted)
        out[0, lag, held] = near[part][at[held]]
        out[1, lag, held] = decayed[part][at[held]]


def met(past: Array, action: Array, actions: Array, wanted: Array, times: Array, latest: Array) -> None:
    """Fill *times* ``(1 + a, n)`` with how often *past* has each wanted value, in all and by each of the *actions*, and
    *latest* with the last step that does, -1 for none.
    """
    same = past[:, None] == wanted[None, :]
    times[0] = same.sum(0)
    for place, code in enumerate(actions.tolist()):
        times[1 + place] = same[action == code].sum(0)
    latest[:] = -1
    if past.size:
        known = times[0] > 0
        latest[known] = past.size - 1 - same[::-1, known].argmax(0)


def shared(
    own: Array, past: Array, width: int, fields: Array, weight: Array, total: float, tokens: int, out: Array
) -> None:
    """Fill *out* ``(2 * f, n)`` with two columns per row of *fields*: start, slots, first token, whether it is numeric.

    See `features.content.Content` for what they say. *weight* ``(t,)`` adds up to *total*.
    """
    out[:] = np.nan
    shares = [_counted(past, weight_of, tokens) for weight_of in (np.ones(len(past)), weight)]
    for place, (start, slots, first, numeric) in enumerate(fields.tolist()):
        mine, column = own[:, start : start + slots], out[2 * place : 2 * place + 2]
        if numeric:
            column[:] = _levels(mine[:, 0], past[:, start], first)
        elif len(past):
            values = (mine > 0).sum(1).astype(np.float64)
            values[values == 0] = np.nan
            for row, counted, whole in zip(column, shares, (float(len(past)), total), strict=True):
                row[:] = np.add.reduceat(counted[mine], [0], axis=1)[:, 0] / values / whole


def admit(
    pairs: Array,
    first: Array,
    at: Array,
    held: Array,
    empty_at: Array,
    ways: int,
    period: float,
    most: float,
    admitted: Array,
) -> None:
    """Set *admitted* to 1 where a pair counts at its instant *at*, and remember it in *held* and *empty_at*.

    A pair lies in one of *ways* slots from *first* on. It counts unless what it did before takes more than *most* to
    run out, and takes a *period* more to do so. Where there is no room, the slot that is empty first is taken over.
    """
    for place, (pair, start, now) in enumerate(zip(pairs.tolist(), first.tolist(), at.tolist(), strict=True)):
        slots = slice(start, start + ways)
        found = np.flatnonzero(held[slots] == pair)
        slot = start + int(found[0] if found.size else empty_at[slots].argmin())
        begun = max(float(empty_at[slot]), now) if found.size else now
        admitted[place] = begun - now <= most
        if admitted[place]:
            held[slot], empty_at[slot] = pair, begun + period


def follow(
    user: Array, item: Array, users: Array, used_at: Array, items: Array, ways: int, clock: int, before: Array
) -> None:
    """Fill *before* ``(n, width)`` with what *items* holds of each user, and put each *item* in front of it.

    Rows count from 1, 0 is nobody and nothing. A user lies in one of *ways* slots of the table; where it is in none,
    the slot that was used the longest ago, by the *clock* that counts interactions, is taken over.
    """
    sets = users.size // ways
    for place, (row, newest) in enumerate(zip(user.tolist(), item.tolist(), strict=True)):
        own = slice(row % sets, None, sets)
        found = np.flatnonzero(users[own] == row + 1)
        slot = row % sets + sets * int(found[0] if found.size else used_at[own].argmin())
        held = items[slot]
        if not found.size:
            users[slot], held[:] = row + 1, 0
        before[place] = held
        held[1:] = before[place, :-1]
        held[0] = newest + 1
        used_at[slot] = clock + place + 1


def _counted(past: Array, weight: Array, tokens: int) -> Array:
    counted = np.bincount(past.ravel(), np.repeat(weight, past.shape[1]), tokens)
    counted[0] = 0.0
    return counted


def _levels(own: Array, past: Array, first: int) -> Array:
    level = np.where(own > 0, own - first, np.nan).astype(np.float32)
    known = past[past > 0]
    usual = float((known - first).mean()) if known.size else np.nan
    return np.stack([level, level - np.float32(usual)])

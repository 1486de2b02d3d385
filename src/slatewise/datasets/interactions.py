"""A table of interactions to events in time order, each with an id that is the same in every import."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from slatewise.datasets.columns import Parsed, as_text, missing, numbers, times
from slatewise.datasets.rules import ReadRules
from slatewise.datasets.table import Table, require
from slatewise.domain.events import Interaction
from slatewise.domain.ids import Mask

SHUFFLE_SEED = 20_240_229
_KEY_BYTES = 16


def read_interactions(table: Table, rules: ReadRules) -> list[Interaction]:
    """Return the good rows as interactions in time order; the others are noted in the table's rejects.

    Where no row has a time, the rows are shuffled with a fixed seed. Raises InputError without user_id or item_id.
    """
    require(table, ("user_id", "item_id"))
    table = table.refuse([(missing(as_text(table.columns[n])), f"{n} is missing") for n in ("user_id", "item_id")])
    at, value = _times(table), _values(table)
    action = _actions(table, rules.default_action)
    undeclared = ~np.asarray(pc.is_in(action, value_set=pa.array(list(rules.actions), pa.string())), bool)
    wrong = {
        "timestamp is neither a number nor ISO-8601": at.bad,
        "timestamp is negative": at.values < 0,
        "timestamp lies in the future": at.values > rules.latest,
        "value is not a finite number": value.bad,
        f"action is not one of {', '.join(sorted(rules.actions))}": undeclared,
    }
    good = ~np.logical_or.reduce(list(wrong.values()))
    table = table.refuse((mask, reason) for reason, mask in wrong.items())
    when = at.values[good]
    order = time_order(when)
    columns = [as_text(table.columns[name]) for name in ("user_id", "item_id")]
    columns += [action.filter(pa.array(good)), _request_ids(table)]
    users, items, actions, requests = (column.take(pa.array(order)).to_pylist() for column in columns)
    moments = [None if unknown else each for each, unknown in zip(*_both(when[order]), strict=True)]
    values = np.where(value.missing, 1.0, value.values)[good][order].tolist()
    return [
        Interaction(user_id=u, item_id=i, action=a, at=t, value=v, event_id=e, request_id=r)
        for u, i, a, t, v, r, e in zip(
            users,
            items,
            actions,
            moments,
            values,
            requests,
            event_ids(users, items, actions, moments, values),
            strict=True,
        )
    ]


def time_order(at: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the stable order by time, unknown times first; a fixed shuffle where no time is known."""
    if np.isnan(at).all():
        return np.random.default_rng(SHUFFLE_SEED).permutation(at.size)
    return np.argsort(np.where(np.isnan(at), -np.inf, at), kind="stable")


def event_ids(
    users: Iterable[str],
    items: Iterable[str],
    actions: Iterable[str],
    moments: Iterable[float | None],
    values: Iterable[float],
) -> list[str]:
    """Return one id per interaction, made of what it says and of how often the same was said before."""
    times_seen: dict[bytes, int] = {}
    ids = []
    for parts in zip(users, items, actions, moments, values, strict=True):
        key = hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES)
        said = key.digest()
        before = times_seen.get(said, 0)
        times_seen[said] = before + 1
        ids.append(f"imp:{key.hexdigest()}" if not before else f"imp:{key.hexdigest()}:{before}")
    return ids


def _times(table: Table) -> Parsed:
    return times(table.columns["timestamp"]) if "timestamp" in table.columns else _all_missing(len(table))


def _values(table: Table) -> Parsed:
    return numbers(table.columns["value"]) if "value" in table.columns else _all_missing(len(table))


def _all_missing(length: int) -> Parsed:
    return Parsed(np.full(length, np.nan), np.ones(length, bool), np.zeros(length, bool))


def _actions(table: Table, default: str) -> pa.Array:
    if "action" not in table.columns:
        return pa.repeat(pa.scalar(default, pa.string()), len(table))
    return pc.fill_null(as_text(table.columns["action"]), default)


def _request_ids(table: Table) -> pa.Array:
    there = table.columns.get("request_id")
    return pa.nulls(len(table), pa.string()) if there is None else as_text(there)


def _both(at: npt.NDArray[np.float64]) -> tuple[list[float], list[bool]]:
    unknown: Mask = np.isnan(at)
    return at.tolist(), unknown.tolist()

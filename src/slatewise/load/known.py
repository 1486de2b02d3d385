"""What a run has to know of the target before it begins: items that exist, their state, users with a history."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote

import msgspec
import numpy as np

from slatewise.domain.errors import InputError
from slatewise.load.caller import Caller
from slatewise.load.pinning import check_cpu
from slatewise.load.plan import SLATES, Plan

ITEMS_WANTED = 2000
"""Items learned at most. The rest of the catalogue stays untouched by events."""
ASKED_AT_MOST = 60
"""Requests for neighbours of items that are known already."""
SIZES = (500, 100, 20, 5)
"""Slates asked for while learning, until one is allowed by serving.max_size."""
CHANGES = 200
"""Items read and written back."""
BATCH = 500

Watch: TypeAlias = Callable[[str, float, float, str], None]
"""Is told the task, how much of how much is done, and how it goes."""


@dataclass(frozen=True, slots=True)
class Known:
    """Ids of items that exist, and the bodies of requests that write items back as they are."""

    items: tuple[str, ...] = ()
    changes: tuple[bytes, ...] = ()


def silent(task: str, done: float, total: float, note: str) -> None:
    """Tell nobody."""


def made_up_users(plan: Plan) -> tuple[str, ...]:
    """Return the ids of returning users that belong to this run alone."""
    return tuple(f"{plan.name}-u{number}" for number in range(plan.users))


def prepare(plan: Plan, watch: Watch = silent) -> Known:
    """Learn what the run needs from the target, and give made-up returning users a history.

    Raises InputError for a target that does not answer or has no items, NotReady for one without a live bundle.
    """
    check_cpu(plan.cpu)
    return asyncio.run(_prepare(plan, watch))


async def _prepare(plan: Plan, watch: Watch) -> Known:
    async with Caller(plan) as caller:
        if plan.wants(*SLATES):
            await caller.ask("POST", "/v1/recommendations", {"size": plan.size})
        has_history = plan.wants("returning", "event") and not plan.user_ids and plan.history > 0
        items = plan.item_ids
        if not items and (has_history or plan.wants("event", "item")):
            items = await _learn(plan, caller, watch)
        changes = await _states(caller, items, watch) if plan.wants("item") else ()
        if has_history:
            await _seed(plan, caller, items, watch)
    return Known(items, changes)


async def _learn(plan: Plan, caller: Caller, watch: Watch) -> tuple[str, ...]:
    """Return items of an anonymous slate, then what is similar to them and to what was found so.

    There is no listing of the catalogue to read.
    """
    slate: Any = None
    for size in SIZES:
        slate = await caller.ask("POST", "/v1/recommendations", {"size": size}, also=(422,))
        if slate is not None:
            break
    found = dict.fromkeys(_ids(slate))
    for item, asked in zip(_growing(found), range(ASKED_AT_MOST), strict=False):
        if len(found) >= ITEMS_WANTED:
            break
        watch("learning items", asked, ASKED_AT_MOST, f"{len(found)} items")
        path = f"/v1/items/{quote(item, safe='')}/similar?size={size}"
        found |= dict.fromkeys(_ids(await caller.ask("GET", path, also=(404, 422, 503))))
    watch("learning items", ASKED_AT_MOST, ASKED_AT_MOST, f"{len(found)} items")
    if not found:
        raise InputError("item_ids", plan.item_ids, "ids of items, for the server recommends none to learn from")
    return tuple(found)[:ITEMS_WANTED]


def _growing(found: dict[str, None]) -> Iterator[str]:
    """Yield the keys in order, also those that are added meanwhile."""
    done = 0
    while done < len(found):
        for item in list(found)[done:]:
            done += 1
            yield item


def _ids(answer: Any) -> list[str]:
    return [item["item_id"] for item in answer["items"]] if answer else []


async def _states(caller: Caller, items: tuple[str, ...], watch: Watch) -> tuple[bytes, ...]:
    """Return what writes items back as they stand now: whoever changes one meanwhile is overwritten."""
    bodies = []
    for number, item in enumerate(items[:CHANGES]):
        state = await caller.ask("GET", f"/v1/items/{quote(item, safe='')}", also=(404,))
        if state is not None:
            state.pop("changed_at", None)
            bodies.append(msgspec.json.encode({"items": [state]}))
        watch("reading items", number + 1, len(items[:CHANGES]), "")
    if not bodies:
        raise InputError("item_ids", items[:5], "ids of items that the server knows, to write them back")
    return tuple(bodies)


async def _seed(plan: Plan, caller: Caller, items: tuple[str, ...], watch: Watch) -> None:
    rng = np.random.default_rng([plan.seed, 1])
    users = made_up_users(plan)
    drawn = rng.integers(0, len(items), (len(users), plan.history)).tolist()
    events = [
        {"user_id": user, "item_id": items[item], "event_id": f"{user}-h{number}"}
        for user, past in zip(users, drawn, strict=True)
        for number, item in enumerate(past)
    ]
    for begin in range(0, len(events), BATCH):
        await caller.ask("POST", "/v1/events", {"events": events[begin : begin + BATCH]})
        watch("histories", min(begin + BATCH, len(events)), len(events), f"of {len(users)} users")

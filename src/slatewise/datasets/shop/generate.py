"""Makes a shop and its past: the data set a shop would export, and the shop itself to go on with."""

from __future__ import annotations

import numpy as np

from slatewise.datasets.dataset import Dataset
from slatewise.datasets.identity import event_ids
from slatewise.datasets.shop import words
from slatewise.datasets.shop.live import Shop
from slatewise.datasets.shop.settings import ShopSettings
from slatewise.datasets.shop.simulate import ACTIONS, NO_SLATE, Past, simulate
from slatewise.datasets.shop.world import World, describe_people
from slatewise.domain.events import Impression, Interaction


def generate(settings: ShopSettings | None = None) -> tuple[Dataset, Shop]:
    """Return a shop's past and its live users. The same settings give the same shop, to the last click.

    Every click, cart and buy names the request whose slate it came from; views are found without one.
    """
    settings = settings or ShopSettings()
    rng = np.random.default_rng(settings.seed)
    world = World(settings, rng)
    items, people = world.draw_past(rng), world.draw_people(settings.n_users, rng)
    past = simulate(settings, items, people, rng)
    interactions = _interactions(past, settings)
    told = interactions[0].at if interactions else None
    dataset = Dataset(
        items=world.describe_items(items, np.arange(len(items))),
        users=describe_people(people, np.arange(len(people)), settings.end if told is None else told),
        interactions=interactions,
        impressions=_impressions(past, settings),
        rows_read=len(items) + len(people) + past.user.size + past.shown.size,
    )
    return dataset, Shop(world, items, people, past)


def _interactions(past: Past, settings: ShopSettings) -> list[Interaction]:
    order = np.argsort(past.at, kind="stable")
    user_ids, item_ids = (
        words.numbered("user", range(settings.n_users)),
        words.numbered("item", range(settings.n_items)),
    )
    users = [user_ids[row] for row in past.user[order].tolist()]
    items = [item_ids[row] for row in past.item[order].tolist()]
    actions = [ACTIONS[code] for code in past.action[order].tolist()]
    at = past.at[order]
    names = event_ids(users, items, actions, at, np.ones(at.size))
    return [
        Interaction(
            user_id=user_id,
            item_id=item_id,
            action=action,
            at=instant,
            event_id=name,
            request_id=None if slate == NO_SLATE else _request(slate),
        )
        for user_id, item_id, action, instant, name, slate in zip(
            users, items, actions, at.tolist(), names, past.slate[order].tolist(), strict=True
        )
    ]


def _impressions(past: Past, settings: ShopSettings) -> list[Impression]:
    order = np.argsort(past.slate_at, kind="stable")
    user_ids, item_ids = (
        words.numbered("user", range(settings.n_users)),
        words.numbered("item", range(settings.n_items)),
    )
    return [
        Impression(
            at=instant, user_id=user_ids[user], request_id=_request(slate), shown=tuple(item_ids[row] for row in shown)
        )
        for instant, user, slate, shown in zip(
            past.slate_at[order].tolist(),
            past.slate_user[order].tolist(),
            order.tolist(),
            past.shown[order].tolist(),
            strict=True,
        )
    ]


def _request(slate: int) -> str:
    return f"past-{slate:07d}"

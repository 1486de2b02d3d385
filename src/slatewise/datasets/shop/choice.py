"""The laws by which users choose: wanting, looking, clicking, buying. Pure formulas over rows; the shop's truth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slatewise.datasets.shop.settings import DAY_S, ShopSettings
from slatewise.datasets.shop.world import Floats, Items, People
from slatewise.domain.ids import Rows, Vectors

RECENT = 5
"""Clicks and views that shape the interest of the moment."""
DECAY = 0.55
"""Each earlier one counts for so much of the next."""
SESSION_GAP_S = 1_800.0
"""An interest is gone after so long without a click."""
RELUCTANCE = 3.6
"""What wanting must overcome."""
OWNED = 6.0
"""How much less one wants what one has bought."""
SEEN_NOW = 2.5
"""How much less one wants what one has just looked at."""
NOTHING = -1


def tastes(people: People, user: Rows, at: Floats, settings: ShopSettings) -> Vectors:
    """Return users' tastes at instants, ``(m, dim)`` of about unit length: a slow walk between two tastes."""
    turns = settings.drift * people.pace[user] * (at - settings.start) / (settings.days * DAY_S)
    second = ((1.0 - np.cos(np.pi * turns)) / 2.0).astype(np.float32)[:, None]
    mixed = (1.0 - second) * people.first[user] + second * people.second[user]
    taste: Vectors = mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-6)
    return taste


def interests(items: Items, recent: Rows, recent_at: Floats, at: Floats) -> Vectors:
    """Return interests of the moment, ``(m, dim)``, zero without any.

    *recent* ``(m, RECENT)`` holds item rows, newest first, `NOTHING` where there are fewer; *recent_at* their times.
    """
    counts = is_current(recent, recent_at, at)
    weight = (counts * DECAY ** np.arange(recent.shape[1])).astype(np.float32)
    total = np.maximum(weight.sum(1, keepdims=True), 1e-6)
    interest: Vectors = np.einsum("mr,mrd->md", weight / total, items.factor[recent])
    return interest


def is_current(recent: Rows, recent_at: Floats, at: Floats) -> npt.NDArray[np.bool_]:
    """Mark the recent items that belong to the visit going on."""
    mask: npt.NDArray[np.bool_] = (recent != NOTHING) & (at[:, None] - recent_at < SESSION_GAP_S)
    return mask


def traits(items: Items, settings: ShopSettings) -> Vectors:
    """Return what each item has to offer, ``(n, dim + 2)``: its factor, what it costs, and how it appeals to all."""
    appeal = 0.5 * (items.appeal - 1.0 / settings.popularity_exponent) - RELUCTANCE
    columns: Vectors = np.column_stack([items.factor, items.cost, appeal]).astype(np.float32)
    return columns


def wishes(
    items: Items, people: People, user: Rows, recent: Rows, recent_at: Floats, at: Floats, settings: ShopSettings
) -> Vectors:
    """Return what each user wants of an item, ``(m, dim + 2)``.

    Its product with an item's `traits` is the log-odds of a click once the item is looked at, before `reluctance`.
    """
    taste, interest = tastes(people, user, at, settings), interests(items, recent, recent_at, at)
    pull = settings.taste_weight * taste + settings.interest_weight * interest
    columns: Vectors = np.column_stack([pull, -people.thrift[user], np.ones(user.size)]).astype(np.float32)
    return columns


def reluctance(item: Rows, is_owned: npt.NDArray[np.bool_], recent: Rows, recent_at: Floats, at: Floats) -> Vectors:
    """Return what makes users want items less, ``(m, s)`` like *item*: having them, or having just seen them."""
    current = np.where(is_current(recent, recent_at, at), recent, NOTHING)
    is_seen = (item[:, :, None] == current[:, None, :]).any(2)
    less: Vectors = np.float32(OWNED) * is_owned + np.float32(SEEN_NOW) * is_seen
    return less


def probability(log_odds: npt.NDArray[np.floating]) -> Floats:
    """Return the probability of these log-odds."""
    chance: Floats = 1.0 / (1.0 + np.exp(-np.clip(log_odds.astype(np.float64), -50.0, 50.0)))
    return chance


def examination(size: int, settings: ShopSettings) -> Floats:
    """Return the probability that each position is looked at, ``(size,)``."""
    looked: Floats = (1.0 + np.arange(size, dtype=np.float64)) ** -settings.position_bias
    return looked


def cart_probability(
    items: Items, people: People, user: Rows, item: Rows, at: Floats, settings: ShopSettings
) -> Floats:
    """Return how likely a click leads to the cart: the lasting taste and the price decide."""
    match = np.einsum("md,md->m", tastes(people, user, at, settings), items.factor[item])
    return probability(-1.6 + 2.0 * match - people.thrift[user] * items.cost[item])


def buy_probability(items: Items, people: People, user: Rows, item: Rows) -> Floats:
    """Return how likely what is in the cart is bought: the price decides."""
    return probability(-0.4 - people.thrift[user] * items.cost[item])

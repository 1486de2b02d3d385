"""The shop's users, alive: they look at what they are shown and click by the same laws as in the past."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from slatewise.datasets.shop import choice, words
from slatewise.datasets.shop.settings import ShopSettings
from slatewise.datasets.shop.simulate import ACTIONS, BUY, CART, CLICK, VIEW, Past
from slatewise.datasets.shop.world import Floats, Items, People, World, describe_people
from slatewise.domain.errors import NotFound
from slatewise.domain.events import ItemChange, UserChange
from slatewise.domain.ids import Rows

TICK_S = 0.001
"""A user sees one slate after another: a second one at the same instant counts as so much later."""
TRIES = 20


@dataclass(slots=True)
class _Trace:
    """What one user touched, oldest first, and when each item was bought."""

    at: list[float] = field(default_factory=list)
    item: list[int] = field(default_factory=list)
    bought: dict[int, float] = field(default_factory=dict)


class Shop:
    """Live users with a known truth. What is asked "at" an instant knows what happened before it, nothing later.

    Time may go on past the settings' end. Not thread-safe.
    """

    def __init__(self, world: World, items: Items, people: People, past: Past) -> None:
        self.settings: ShopSettings = world.settings
        self._world, self._items, self._people = world, items, people
        self._traces = _traces(past, len(people))
        self._user_rows = {name: row for row, name in enumerate(words.numbered("user", range(len(people))))}
        self._item_rows = {name: row for row, name in enumerate(words.numbered("item", range(len(items))))}

    @property
    def user_ids(self) -> list[str]:
        """All users, in order of appearance."""
        return list(self._user_rows)

    @property
    def item_ids(self) -> list[str]:
        """All items, in order of appearance."""
        return list(self._item_rows)

    # -- the truth -------------------------------------------------------------------------------------------------

    def true_click_probability(self, user_id: str, items: Sequence[str], at: float) -> Floats:
        """Return how likely the user clicks each item once looked at (as at position 0), ``(n,)``.

        Items that are not there yet have probability 0. Raises NotFound for an unknown user or item.
        """
        user, rows = self._user(user_id), self._rows(items)
        return self._chances(user, rows, at)

    def oracle_slate(self, user_id: str, candidates: Sequence[str], at: float, size: int) -> list[str]:
        """Return the *size* candidates most likely to be clicked, best first: no ranker can do better.

        Raises NotFound for an unknown user or item.
        """
        chance = self.true_click_probability(user_id, candidates, at)
        return [candidates[place] for place in np.argsort(-chance, kind="stable")[:size].tolist()]

    # -- live users ------------------------------------------------------------------------------------------------

    def next_visitor(self, rng: np.random.Generator) -> str:
        """Return a user, those who come often more often."""
        share = np.cumsum(self._people.activity)
        row = int(np.searchsorted(share, rng.random() * share[-1], side="right"))
        return words.numbered("user", [min(row, len(self._people) - 1)])[0]

    def session(self, rng: np.random.Generator, at: float) -> str:
        """Return a user who begins a new visit at this instant: if possible one whose last visit is over."""
        for _ in range(TRIES):
            user_id = self.next_visitor(rng)
            touched = self._traces[self._user(user_id)].at
            if not touched or at - touched[-1] >= choice.SESSION_GAP_S:
                break
        return user_id

    def react(self, user_id: str, shown: Sequence[str], at: float, rng: np.random.Generator) -> list[tuple[str, str]]:
        """Show a slate and return ``(item_id, action)`` in order: clicks, some followed by cart and buy.

        Clicks change what the user wants next; what is bought is wanted no more. Raises NotFound.
        """
        user, rows = self._user(user_id), self._rows(shown)
        trace = self._traces[user]
        at = max(at, trace.at[-1] + TICK_S) if trace.at else at
        chance = choice.examination(rows.size, self.settings) * self._chances(user, rows, at)
        clicked = rows[rng.random(rows.size) < chance]
        done: list[tuple[str, str]] = []
        for row, actions in zip(clicked.tolist(), self._follow_up(user, clicked, at, rng), strict=True):
            trace.at.append(at)
            trace.item.append(row)
            if BUY in actions:
                trace.bought.setdefault(row, at)
            done += [(words.numbered("item", [row])[0], ACTIONS[action]) for action in actions]
        return done

    def new_user(self, rng: np.random.Generator, at: float | None = None) -> UserChange:
        """Let a new user come to the shop, and return what it knows of them, told when the past ends if no time is."""
        self._people.extend(self._world.draw_people(1, rng))
        self._traces.append(_Trace())
        change = describe_people(
            self._people, np.array([len(self._people) - 1]), self.settings.end if at is None else at
        )[0]
        self._user_rows[change.user_id] = len(self._people) - 1
        return change

    def new_item(self, rng: np.random.Generator, at: float) -> ItemChange:
        """Take a new item into the shop, and return what the catalogue says of it."""
        self._items.extend(self._world.draw_items(np.array([at]), rng))
        change = self._world.describe_items(self._items, np.array([len(self._items) - 1]))[0]
        self._item_rows[change.item_id] = len(self._items) - 1
        return change

    # --------------------------------------------------------------------------------------------------------------

    def _chances(self, user: int, rows: Rows, at: float) -> Floats:
        trace, instant = self._traces[user], np.array([at])
        known = bisect_left(trace.at, at)
        newest = slice(max(0, known - choice.RECENT), known)
        recent = np.full((1, choice.RECENT), choice.NOTHING)
        recent_at = np.zeros((1, choice.RECENT))
        recent[0, : newest.stop - newest.start] = trace.item[newest][::-1]
        recent_at[0, : newest.stop - newest.start] = trace.at[newest][::-1]
        mine = choice.wishes(self._items, self._people, np.array([user]), recent, recent_at, instant, self.settings)
        owned = np.array([trace.bought.get(row, np.inf) < at for row in rows.tolist()], bool)[None, :]
        want = choice.traits(self._items.take(rows), self.settings) @ mine[0]
        want -= choice.reluctance(rows[None, :], owned, recent, recent_at, instant)[0]
        chance = choice.probability(want)
        chance[self._items.created_at[rows] > at] = 0.0
        return chance

    def _follow_up(self, user: int, clicked: Rows, at: float, rng: np.random.Generator) -> list[tuple[int, ...]]:
        who, instants = np.full(clicked.size, user), np.full(clicked.size, at)
        to_cart = choice.cart_probability(self._items, self._people, who, clicked, instants, self.settings)
        to_buy = choice.buy_probability(self._items, self._people, who, clicked)
        draws = rng.random((clicked.size, 2))
        return [
            (CLICK, CART, BUY) if cart and buy else (CLICK, CART) if cart else (CLICK,)
            for cart, buy in (draws < np.stack([to_cart, to_buy], 1)).tolist()
        ]

    def _user(self, user_id: str) -> int:
        row = self._user_rows.get(user_id)
        if row is None:
            raise NotFound(f"user {user_id!r} is no user of this shop")
        return row

    def _rows(self, items: Sequence[str]) -> Rows:
        unknown = [item_id for item_id in items if item_id not in self._item_rows]
        if unknown:
            raise NotFound(f"item {unknown[0]!r} is no item of this shop")
        return np.array([self._item_rows[item_id] for item_id in items], np.int64)


def _traces(past: Past, users: int) -> list[_Trace]:
    order = np.lexsort((past.at, past.user))
    traces = [_Trace() for _ in range(users)]
    columns = (
        past.user[order].tolist(),
        past.item[order].tolist(),
        past.action[order].tolist(),
        past.at[order].tolist(),
    )
    for user, item, action, at in zip(*columns, strict=True):
        if action in (VIEW, CLICK):
            traces[user].at.append(at)
            traces[user].item.append(item)
        elif action == BUY:
            traces[user].bought.setdefault(item, at)
    return traces

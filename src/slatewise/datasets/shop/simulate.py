"""Plays a shop's past: everyone looks at slates in their own time, and clicks change what they want next."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from slatewise.datasets.shop import choice
from slatewise.datasets.shop.policy import LoggingPolicy
from slatewise.datasets.shop.settings import ShopSettings
from slatewise.datasets.shop.visits import reading_s, slate_times
from slatewise.datasets.shop.world import Floats, Items, People
from slatewise.domain.ids import Rows, Vectors

ACTIONS = ("view", "click", "cart", "buy")
VIEW, CLICK, CART, BUY = range(4)
NO_SLATE = -1
SHARPNESS = np.float32(1.5)
"""How much surer users choose what they find on their own than what they are shown."""
CELLS = 2_000_000
"""Users times items played at once: bounds the memory."""


@dataclass(frozen=True, slots=True)
class Past:
    """All that happened, in no order: slates by number, ``(n, size)``, and acts; ``slate`` is -1 for what was found."""

    slate_user: Rows
    slate_at: Floats
    shown: Rows
    user: Rows
    item: Rows
    action: Rows
    at: Floats
    slate: Rows


@dataclass(slots=True)
class _Diary:
    """Collects what happens, step by step."""

    size: int
    slates: int = 0
    shown: list[tuple[Rows, Floats, Rows]] = field(default_factory=list)
    acts: list[tuple[Rows, Rows, Rows, Floats, Rows]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Where nobody comes there is an empty past, not none.
        nobody, never = np.empty(0, np.int64), np.empty(0)
        self.shown.append((nobody, never, np.empty((0, self.size), np.int64)))
        self.acts.append((nobody, nobody, nobody, never, nobody))

    def slate(self, user: Rows, at: Floats, shown: Rows) -> Rows:
        """Note slates and return their numbers."""
        numbers = self.slates + np.arange(user.size)
        self.slates += user.size
        self.shown.append((user, at, shown))
        return numbers

    def act(self, user: Rows, item: Rows, action: int, at: Floats, slate: Rows) -> None:
        """Note acts of one kind."""
        self.acts.append((user, item, np.full(user.size, action), at, slate))

    def past(self) -> Past:
        """Return everything noted."""
        slate_user, slate_at, shown = zip(*self.shown, strict=True)
        user, item, action, at, slate = zip(*self.acts, strict=True)
        return Past(
            slate_user=np.concatenate(slate_user),
            slate_at=np.concatenate(slate_at),
            shown=np.concatenate(shown),
            user=np.concatenate(user),
            item=np.concatenate(item),
            action=np.concatenate(action),
            at=np.concatenate(at),
            slate=np.concatenate(slate),
        )


def simulate(settings: ShopSettings, items: Items, people: People, rng: np.random.Generator) -> Past:
    """Play the whole period. Work grows with slates x items; memory is bounded."""
    policy, diary = LoggingPolicy(items), _Diary(settings.slate_size)
    block = max(1, CELLS // len(items))
    for first in range(0, len(people), block):
        users = np.arange(first, min(first + block, len(people)))
        _Crowd(settings, items, people, users, rng).play(policy, diary)
    return diary.past()


class _Crowd:
    """A block of users and what each has in mind: the newest items touched, and all items bought."""

    def __init__(
        self, settings: ShopSettings, items: Items, people: People, users: Rows, rng: np.random.Generator
    ) -> None:
        self._settings, self._items, self._people, self._users, self._rng = settings, items, people, users, rng
        self._recent = np.full((users.size, choice.RECENT), choice.NOTHING)
        self._recent_at = np.zeros((users.size, choice.RECENT))
        self._traits = choice.traits(items, settings)
        self._owned = np.zeros((users.size, len(items)), bool)

    def play(self, policy: LoggingPolicy, diary: _Diary) -> None:
        """Let everyone look at their slates, in their own time, one each per step."""
        times = slate_times(self._people.take(self._users), self._settings, self._rng)
        for step in range(times.shape[1]):
            here = np.flatnonzero(np.isfinite(times[:, step]))
            at = times[here, step]
            newest, newest_at = self._recent[here, :1], self._recent_at[here, :1]
            last = np.where(choice.is_current(newest, newest_at, at), newest, choice.NOTHING)[:, 0]
            self._look(here, at, policy.slates(last, at, self._settings.slate_size, self._rng), diary)
            self._find(here, at, diary)

    def _look(self, here: Rows, at: Floats, shown: Rows, diary: _Diary) -> None:
        """Look down a slate each: click, and sometimes go on to the cart and to buying."""
        rng, settings, users, size = self._rng, self._settings, self._users[here], shown.shape[1]
        slate = diary.slate(users, at, shown)
        want = np.einsum("md,msd->ms", self._wishes(here, at), self._traits[shown])
        want -= choice.reluctance(
            shown, self._owned[here[:, None], shown], self._recent[here], self._recent_at[here], at
        )
        chance = choice.examination(size, settings) * choice.probability(want)
        who, position = np.nonzero(rng.random(shown.shape) < chance)
        item, begun = shown[who, position], at[who] + 1 + position
        diary.act(users[who], item, CLICK, begun, slate[who])
        for place in range(size):
            now = position == place
            self._touch(here[who[now]], item[now], begun[now])
        to_cart = choice.cart_probability(self._items, self._people, users[who], item, begun, settings)
        carted = np.flatnonzero(rng.random(who.size) < to_cart)
        diary.act(users[who[carted]], item[carted], CART, begun[carted] + size, slate[who[carted]])
        to_buy = choice.buy_probability(self._items, self._people, users[who[carted]], item[carted])
        bought = carted[rng.random(carted.size) < to_buy]
        diary.act(users[who[bought]], item[bought], BUY, begun[bought] + 2 * size, slate[who[bought]])
        self._owned[here[who[bought]], item[bought]] = True

    def _find(self, here: Rows, at: Floats, diary: _Diary) -> None:
        """Let some find an item on their own, among all there are."""
        rng = self._rng
        here, at = _both(rng.random(here.size) < self._settings.view_share, here, at)
        at = at + reading_s(self._settings.slate_size) - 5
        finish = rng.standard_exponential((here.size, len(self._items)), np.float32)
        finish *= np.exp(-SHARPNESS * self._want_all(here, at))
        finish[self._items.created_at > at[:, None]] = np.inf
        item = finish.argmin(1)
        diary.act(self._users[here], item, VIEW, at, np.full(here.size, NO_SLATE))
        self._touch(here, item, at)

    def _wishes(self, here: Rows, at: Floats) -> Vectors:
        return choice.wishes(
            self._items,
            self._people,
            self._users[here],
            self._recent[here],
            self._recent_at[here],
            at,
            self._settings,
        )

    def _want_all(self, here: Rows, at: Floats) -> Vectors:
        """Return how much each user wants every item, ``(m, items)``."""
        want = self._wishes(here, at) @ self._traits.T
        # Less wanted items are few: going to them is cheaper than a pass over all.
        want[np.nonzero(self._owned[here])] -= np.float32(choice.OWNED)
        recent, recent_at = self._recent[here], self._recent_at[here]
        is_current = choice.is_current(recent, recent_at, at)
        for place in range(choice.RECENT):
            is_first = ~(recent[:, :place] == recent[:, place, None]).any(1)
            who = np.flatnonzero(is_current[:, place] & is_first)
            want[who, recent[who, place]] -= np.float32(choice.SEEN_NOW)
        return want

    def _touch(self, here: Rows, item: Rows, at: Floats) -> None:
        self._recent[here, 1:] = self._recent[here, :-1]
        self._recent_at[here, 1:] = self._recent_at[here, :-1]
        self._recent[here, 0] = item
        self._recent_at[here, 0] = at


def _both(mask: npt.NDArray[np.bool_], here: Rows, at: Floats) -> tuple[Rows, Floats]:
    return here[mask], at[mask]

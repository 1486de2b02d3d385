"""The bytes of each request of a run, made when it is due. Everything drawn by chance is drawn before the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from slatewise.load.known import Known, made_up_users
from slatewise.load.plan import KINDS, Plan
from slatewise.load.schedule import zipf
from slatewise.load.target import Target, request


class Traffic:
    """Requests by their place in the schedule."""

    def __init__(
        self, plan: Plan, known: Known, target: Target, kinds: Sequence[int], rng: np.random.Generator
    ) -> None:
        self._makers: list[Callable[[int], bytes]] = [getattr(self, f"_{kind}") for kind in KINDS]
        self._kinds = kinds
        self._slates = target.head("POST", "/v1/recommendations")
        self._events = target.head("POST", "/v1/events")
        self._changes = [request(target.head("PUT", "/v1/items"), body) for body in known.changes]
        self._users = [msgspec.json.encode(user) for user in plan.user_ids or made_up_users(plan)]
        self._items = [msgspec.json.encode(item) for item in known.items]
        deadline = b"" if plan.deadline_ms is None else b',"deadline_ms":%b' % msgspec.json.encode(plan.deadline_ms)
        self._wish = b',"size":%d%b}' % (plan.size, deadline)
        self._name = plan.name.encode("ascii")
        self._user: list[int] = zipf(len(self._users), len(kinds), plan.zipf, rng).tolist()
        self._draw: list[int] = rng.integers(0, 2**31, len(kinds)).tolist()

    def request(self, place: int) -> bytes:
        """Return the request at a place in the schedule."""
        return self._makers[self._kinds[place]](place)

    def _fresh(self, place: int) -> bytes:
        return request(self._slates, b'{"user_id":"%b-f%d"%b' % (self._name, place, self._wish))

    def _returning(self, place: int) -> bytes:
        return request(self._slates, b'{"user_id":%b%b' % (self._users[self._user[place]], self._wish))

    def _event(self, place: int) -> bytes:
        item = self._items[self._draw[place] % len(self._items)]
        user = self._users[self._user[place]]
        body = b'{"events":[{"user_id":%b,"item_id":%b,"event_id":"%b-e%d"}]}' % (user, item, self._name, place)
        return request(self._events, body)

    def _item(self, place: int) -> bytes:
        return self._changes[self._draw[place] % len(self._changes)]

"""A whole home in memory: real answers by popularity, no store, no model. Hand-written, for the tests of the door."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from fastapi import FastAPI

from slatewise.domain.answer import Answer, AnswerItem, ExplainedCandidate
from slatewise.domain.erasure import Erasure
from slatewise.domain.errors import BundleError, Expired, InputError, NotFound, NotReady
from slatewise.domain.events import Interaction, ItemChange, Receipt, UserChange
from slatewise.domain.query import Query
from slatewise.domain.settings import Settings
from slatewise.http.app import create_app
from slatewise.telemetry.clock import SystemClock
from slatewise.telemetry.metrics import Metrics


class NoKeys:
    is_used = False

    def find(self, token: str) -> None:
        return None


class NoEncores:
    def remember(self, name: bytes, query: Query) -> None:
        pass

    def find(self, name: bytes) -> None:
        return None


@dataclass
class Bundle:
    id: str
    created_at: float
    live: bool = False
    metrics: dict[str, object] = field(default_factory=dict)


class MemoryHome:
    def __init__(self, settings: Settings | None = None, live: str | None = "b1") -> None:
        self.settings = settings or Settings()
        self.keys: Any = NoKeys()
        self.encores: Any = NoEncores()
        self.version = 0
        self.events: list[Interaction] = []
        self.items: dict[str, ItemChange] = {}
        self.users: dict[str, UserChange] = {}
        self.published = {name: Bundle(name, 100.0, name == live, {"ndcg@10": 0.1}) for name in ("b1", "b2", "broken")}
        self.queries: list[Query] = []
        self.closed = 0
        self.trouble: str | None = None
        self.fault: Exception | None = None
        self._numbers = count(1)
        self._grown = threading.Condition()

    @property
    def live_bundle(self) -> str | None:
        self._fail()
        return next((b.id for b in self.published.values() if b.live), None)

    def new_request_id(self) -> str:
        return f"r{next(self._numbers)}"

    def record(self, events: Sequence[Interaction]) -> Receipt:
        self._fail()
        for position, event in enumerate(events):
            if event.action not in self.settings.actions:
                raise InputError(
                    f"events[{position}].action", event.action, "one of " + ", ".join(self.settings.actions)
                )
        known = {e.event_id for e in self.events}
        fresh = [e for e in events if e.event_id is None or e.event_id not in known]
        self.events += fresh
        for event in fresh:
            self.items.setdefault(event.item_id, ItemChange(at=0.0, item_id=event.item_id))
        return self._receipt(len(fresh), len(events) - len(fresh))

    def put_items(self, items: Sequence[ItemChange]) -> Receipt:
        self._fail()
        self.items.update({i.item_id: i for i in items})
        return self._receipt(len(items))

    def item(self, item_id: str) -> ItemChange:
        if item_id not in self.items:
            raise NotFound(f"no item {item_id!r}")
        return self.items[item_id]

    def delete_item(self, item_id: str) -> Receipt:
        self.item(item_id)
        del self.items[item_id]
        return self._receipt(1)

    def put_users(self, users: Sequence[UserChange]) -> Receipt:
        self.users.update({u.user_id: u for u in users})
        return self._receipt(len(users))

    def user(self, user_id: str) -> UserChange:
        if user_id not in self.users:
            raise NotFound(f"no user {user_id!r}")
        return self.users[user_id]

    def delete_user(self, user_id: str) -> Erasure:
        described = self.users.pop(user_id, None) is not None
        before = len(self.events)
        self.events = [e for e in self.events if e.user_id != user_id]
        gone, version = before - len(self.events), self._receipt(1).version
        return Erasure(1, 0, version, gone, 0, int(described), 0, "e1", 100.0, tuple(self.published))

    def export_user(self, user_id: str) -> Iterator[bytes]:
        known = self.user(user_id)
        did = [
            {"item_id": e.item_id, "action": e.action, "timestamp": e.at, "value": e.value, "event_id": None,
             "request_id": None}
            for e in self.events if e.user_id == user_id
        ]  # fmt: skip
        whole = {"user_id": user_id, "attributes": dict(known.attributes), "changes": [], "impressions": []}
        return iter([json.dumps(whole)[:-1].encode(), b', "interactions": ', json.dumps(did).encode(), b"}"])

    def answer(self, query: Query) -> Answer:
        self._fail()
        self.queries.append(query)
        bundle = self.live_bundle
        if bundle is None:
            raise NotReady("no bundle is live")
        degraded: tuple[str, ...] = ()
        if query.min_version is not None:
            with self._grown:
                wanted, wait_s = query.min_version, self.settings.serving.max_wait_ms / 1000.0
                if not self._grown.wait_for(lambda: self.version >= wanted, wait_s):
                    degraded = (f"min_version: {wanted} is not reached",)
        seen = {e.item_id for e in self.events if e.user_id == query.user_id} | query.exclude
        explanation = tuple(ExplainedCandidate(i, "popular", 1.0, p, "shown") for p, i in enumerate(self.items))
        if query.cursor == "old":
            raise Expired("the cursor has expired: ask again without one")
        if query.cursor is not None and not query.cursor.isdigit():
            raise InputError("cursor", query.cursor, "the cursor of an answer to the same query")
        start = int(query.cursor or 0)
        ranked = self._ranked(seen, start + query.size)[start:]
        return Answer(
            request_id=query.request_id,
            items=ranked,
            cached=False,
            as_of=self.version,
            bundle=bundle,
            degraded=degraded,
            timing_ms={"retrieval": 0.1},
            explanation=explanation if query.explain else None,
            cursor=str(start + len(ranked)) if start + len(ranked) < len(self.items) - len(seen) else None,
        )

    def similar(self, item_id: str, size: int) -> Sequence[AnswerItem]:
        self.item(item_id)
        return self._ranked({item_id}, size)

    def bundles(self) -> Sequence[Bundle]:
        return list(self.published.values())

    def promote(self, bundle_id: str) -> str:
        if bundle_id not in self.published:
            raise NotFound(f"no bundle {bundle_id!r}")
        if bundle_id == "broken":
            raise BundleError("broken: the digest of towers does not match")
        for bundle in self.published.values():
            bundle.live = bundle.id == bundle_id
        return bundle_id

    def close(self) -> None:
        self.closed += 1

    def _fail(self) -> None:
        if self.fault is not None:
            raise self.fault

    def _receipt(self, accepted: int, duplicates: int = 0) -> Receipt:
        with self._grown:
            self.version += accepted
            self._grown.notify_all()
        return Receipt(accepted, duplicates, self.version)

    def _ranked(self, without: set[str] | frozenset[str], size: int) -> tuple[AnswerItem, ...]:
        popularity = Counter(e.item_id for e in self.events)
        names = sorted((i for i in self.items if i not in without), key=lambda i: (-popularity[i], i))
        return tuple(AnswerItem(n, float(popularity[n]), p, "popular") for p, n in enumerate(names[:size]))


class Caller:
    """Calls an application in this process, from synchronous tests; errors come back as answers."""

    def __init__(self, app: FastAPI, portal: Any) -> None:
        self.app = app
        self._portal = portal
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://door")

    def __call__(self, method: str, path: str, json: Any = None, **more: Any) -> httpx.Response:
        if json is not None:
            more["json"] = json
        return self._portal.call(partial(self.client.request, method, path, **more))


@pytest.fixture(scope="session")
def portal() -> Iterator[Any]:
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture
def open_door(portal: Any) -> Iterator[Callable[[MemoryHome], Caller]]:
    with ExitStack() as stack:

        def opened(home: MemoryHome) -> Caller:
            caller = Caller(create_app(home, Metrics(), SystemClock()), portal)
            stack.callback(caller.app.state.overload.stop)
            stack.callback(portal.call, caller.client.aclose)
            return caller

        yield opened


@pytest.fixture
def memory_home() -> type[MemoryHome]:
    return MemoryHome


@pytest.fixture
def home() -> MemoryHome:
    return MemoryHome()


@pytest.fixture
def call(home: MemoryHome, open_door: Callable[[MemoryHome], Caller]) -> Caller:
    return open_door(home)

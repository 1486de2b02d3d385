"""What a HOME must hold and may show, by the plainest means: dictionaries, and one caller at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from slatewise.domain.errors import Conflict
from slatewise.testing.home.port import Asked, Gone, Item, Slate, Told

SEEN = frozenset({"interaction", "buy", "like", "dislike"})
"""Actions after which an item is not shown again, by the default settings."""


@dataclass
class User:
    """What was acknowledged of one user since they were last erased."""

    did: list[Told] = field(default_factory=list)
    described: list[str] = field(default_factory=list)
    shown: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What slates held, by request id."""
    seen: set[str] = field(default_factory=set)
    changes: int = 0
    """Grows with whatever shapes this user's slates."""
    version: int = 0

    @property
    def is_known(self) -> bool:
        return bool(self.did or self.described)


@dataclass
class Walk:
    """A walk through pages: the question, what was shown of its list, and when it began by whose user's state."""

    asked: Asked
    cursor: str
    shown: set[str]
    as_of: int
    life: int
    begun: float
    is_known: bool
    """Whether the user was known when the cursor was made: to erase a stranger takes nothing back."""


class Oracle:
    """Takes what was acknowledged and judges what is told. Raises AssertionError."""

    def __init__(self, items: dict[str, Item], live: str) -> None:
        self.items: dict[str, Item | None] = dict(items)
        self.rows: set[str] = set(items)
        """Items that the log ever named: a new one moves the catalogue's version."""
        self.users: dict[str, User] = {}
        self.lives: dict[str, int] = {}
        """How often a user was erased."""
        self.said: dict[str, Told] = {}
        self.version = 0
        self.changed = 0
        self.catalogue_version = 0
        self.live = live
        self.kept: dict[tuple[object, ...], tuple[str, ...]] = {}
        """What a cache may hold: question and all that shapes its slate, to the slate."""

    def user(self, name: str) -> User:
        return self.users.setdefault(name, User())

    def is_known(self, name: str | None) -> bool:
        """Return whether anything acknowledged names the user."""
        return name in self.users and self.users[name].is_known

    # -- writes --------------------------------------------------------------------------------------------------------

    def fresh(self, events: Sequence[Told]) -> list[Told]:
        """Return what is new among *events*. Raises Conflict."""
        known, found = dict(self.said), []
        for place, event in enumerate(events):
            if event.event_id is not None:
                before = known.get(event.event_id)
                if before is not None:
                    if _body(before) != _body(event):
                        raise Conflict(f"events[{place}].event_id", event.event_id, "an id that no other event has")
                    continue
                known[event.event_id] = event
            found.append(event)
        return found

    def recorded(self, events: Sequence[Told], version: int) -> None:
        for event in events:
            if event.event_id is not None:
                self.said[event.event_id] = event
            user = self.user(event.user)
            user.did.append(event)
            user.changes += 1
            user.version = version
            if event.action in SEEN:
                user.seen.add(event.item)
            if event.item not in self.rows:
                # By default an unknown item is one that can be shown.
                self.items[event.item] = Item("", True)
                self._named(event.item, version)
        self.reached(version, is_new=bool(events))

    def put(self, item: str, state: Item | None, version: int) -> None:
        self.items[item] = state
        self._named(item, version)
        self.reached(version)

    def described(self, name: str, country: str, version: int) -> None:
        user = self.user(name)
        user.described.append(country)
        user.changes += 1
        user.version = version
        self.reached(version)

    def erased(self, name: str, version: int) -> None:
        self.users.pop(name, None)
        self.said = {key: event for key, event in self.said.items() if event.user != name}
        self.lives[name] = self.lives.get(name, 0) + 1
        self.kept.clear()
        self.reached(version)

    def reached(self, version: int, *, is_new: bool = True) -> None:
        """Note an acknowledged version: what is new has a higher one."""
        assert version > self.version if is_new else version >= self.version, f"{version} after {self.version}"
        self.version = version

    def restarted(self) -> None:
        """A cache in memory is empty then."""
        self.kept.clear()

    def _named(self, item: str, version: int) -> None:
        self.rows.add(item)
        self.changed += 1
        self.catalogue_version = version

    # -- answers -------------------------------------------------------------------------------------------------------

    def blocked(self, asked: Asked) -> set[str]:
        if asked.history is not None:
            return {*asked.exclude, *asked.history}
        seen = self.users[asked.user].seen if asked.user in self.users else set()
        return seen | set(asked.exclude)

    def allowed(self, asked: Asked) -> set[str]:
        """Return all that the answer may hold."""
        there = {name for name, item in self.items.items() if item is not None and item.is_available}
        wanted = {name for name in there if asked.kind is None or self._kind(name) == asked.kind}
        return wanted - self.blocked(asked)

    def judge(self, asked: Asked, slate: Slate) -> None:
        """Judge a first page."""
        allowed = self._judge_items(asked, slate, set())
        assert slate.degraded == (), slate.degraded
        assert slate.bundle == self.live, f"bundle {slate.bundle}, live is {self.live}"
        assert len(slate.items) == min(asked.size, len(allowed)), (
            f"{len(slate.items)} items, {len(allowed)} may be shown"
        )
        user = self.users.get(asked.user or "", User())
        # What is kept may be older than what others did since, never older than what shapes it.
        floor = max(user.version, self.catalogue_version) if slate.cached else self.version
        assert slate.as_of >= max(floor, asked.min_version or 0), f"as of {slate.as_of}, {floor} was acknowledged"
        key = (asked.question, user.changes, self.lives.get(asked.user or "", 0), self.changed, self.live)
        if slate.cached:
            assert key in self.kept, "said to be kept, but what shapes it changed or it was never asked"
            assert slate.items == self.kept[key], f"kept {self.kept[key]}, told {slate.items}"
        self.kept[key] = slate.items
        self._shown(asked, slate)

    def judge_page(self, walk: Walk, asked: Asked, slate: Slate) -> None:
        """Judge a further page: it may be short, and of the bundle that the walk began with."""
        self._judge_items(asked, slate, walk.shown)
        assert slate.as_of == walk.as_of, "a page of another list"
        self._shown(asked, slate)

    def _judge_items(self, asked: Asked, slate: Slate, before: set[str]) -> set[str]:
        allowed = self.allowed(asked)
        assert len(set(slate.items)) == len(slate.items), f"twice in one answer: {slate.items}"
        assert len(slate.items) <= asked.size
        wrong = set(slate.items) - allowed
        assert not wrong, {name: (self.items.get(name), name in self.blocked(asked)) for name in wrong}
        assert not before & set(slate.items), f"on an earlier page: {before & set(slate.items)}"
        return allowed

    def _shown(self, asked: Asked, slate: Slate) -> None:
        if asked.user is not None and slate.items:
            self.user(asked.user).shown[slate.request_id] = slate.items

    def judge_similar(self, item: str, found: Sequence[str]) -> None:
        there = {name for name, state in self.items.items() if state is not None and state.is_available}
        assert set(found) <= there - {item}, set(found) - there
        assert len(set(found)) == len(found)

    def judge_export(self, name: str, found: dict[str, Any] | None) -> None:
        """Judge what the log holds of a user; None where it says that it knows nobody of this name."""
        user = self.users.get(name, User())
        if found is None:
            assert not user.is_known, f"{name} is forgotten, with {len(user.did)} events"
            return
        held = [(one["item_id"], one["action"], one["value"], one["event_id"]) for one in found["interactions"]]
        assert held == [(e.item, e.action, e.value, e.event_id) for e in user.did], (held, user.did)
        for event, one in zip(user.did, found["interactions"], strict=True):
            assert event.at is None or event.at == one["timestamp"], (event, one)
        assert [one["attributes"] for one in found["changes"]] == [{"country": c} for c in user.described]
        for one in found["impressions"]:
            # Written after the answer, so some may be missing; but none is made up, and none outlives an erasure.
            assert user.shown.get(one["request_id"]) == tuple(one["shown"]), one

    def judge_gone(self, name: str, gone: Gone) -> None:
        user = self.users.get(name, User())
        assert (gone.interactions, gone.changes) == (len(user.did), len(user.described)), (gone, user)

    def _kind(self, name: str) -> str | None:
        item = self.items[name]
        return None if item is None else item.kind


def _body(event: Told) -> tuple[object, ...]:
    return event.user, event.item, event.action, event.value

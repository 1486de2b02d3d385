"""A HOME in this process, which can lose everything but its files, and whose clock can be set."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from slatewise.domain.events import Interaction, ItemChange, Receipt, UserChange
from slatewise.storage.mark import mark_path
from slatewise.storage.wal import wal_path
from slatewise.telemetry.clock import SystemClock
from slatewise.testing.home.port import PATIENT_MS, Asked, Gone, Item, Slate, Told
from slatewise.testing.worlds import walkers
from slatewise.wiring.home import Home

T = TypeVar("T")

BUNDLES = ({"training.dim": 16}, {"training.dim": 24, "training.lists": "off"})
LATE, TOLD = 0.5, 0.8
"""A crash at a later moment comes after the attempt took place; at one later still, after the caller heard of it."""


def world(folder: Path, kinds: int, per_kind: int) -> Path:
    """Make a HOME of the walkers' world in *folder*, with two bundles that answer differently."""
    items, users, events = walkers(40, kinds, per_kind, 20)
    for settings in BUNDLES:
        with Home(folder, settings={"training.deep": "off", **settings}) as home:
            if not home.bundles():
                home.put_items(items)
                home.put_users(users)
                home.record(events)
            home.train()
    return folder


def memory_folder() -> Path | None:
    """Return a folder in memory, where there is one: a crash of a process loses no page, so no story needs a disk."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() else None


class SetClock(SystemClock):
    """The computer's clock, set wrong by *ahead* seconds."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


class HomeInProcess:
    """A `HomePort` over a copy of the HOME *made*."""

    prefix = ""
    can_jump = True
    can_crash = True

    def __init__(self, made: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="slatewise-story-", dir=memory_folder())
        self._lives = 0
        self._clock = SetClock()
        shutil.copytree(made, self._path)
        self._home = self._opened()

    def record(self, events: Sequence[Told]) -> Receipt:
        now = self._clock.now()
        return self._home.record(
            [
                Interaction(
                    user_id=event.user,
                    item_id=event.item,
                    action=event.action,
                    at=now if event.at is None else event.at,
                    value=event.value,
                    event_id=event.event_id,
                )
                for event in events
            ]
        )

    def put_item(self, item: str, kind: str, *, is_available: bool) -> Receipt:
        change = ItemChange(at=self._clock.now(), item_id=item, categories=(kind,), available=is_available)
        return self._home.put_items([change])

    def delete_item(self, item: str) -> Receipt:
        return self._home.delete_item(item)

    def describe(self, user: str, country: str) -> Receipt:
        return self._home.put_users([UserChange(at=self._clock.now(), user_id=user, attributes={"country": country})])

    def erase(self, user: str) -> Gone:
        gone = self._home.delete_user(user)
        return Gone(gone.version, gone.interactions, gone.changes)

    def recommend(self, asked: Asked) -> Slate:
        answer = self._home.recommend(
            asked.user,
            size=asked.size,
            history=asked.history,
            exclude=asked.exclude,
            where={} if asked.kind is None else {"categories": asked.kind},
            min_version=asked.min_version,
            deadline_ms=PATIENT_MS,
            cursor=asked.cursor,
        )
        shown = tuple(item.item_id for item in answer.items)
        return Slate(
            answer.request_id, shown, answer.cached, answer.as_of, answer.bundle, answer.degraded, answer.cursor
        )

    def similar(self, item: str, size: int) -> tuple[str, ...]:
        return tuple(found.item_id for found in self._home.similar(item, size))

    def item(self, item: str) -> Item:
        found = self._home.item(item)
        return Item(found.categories[0] if found.categories else "", found.available)

    def export(self, user: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(b"".join(self._home.export_user(user)))
        return found

    def bundles(self) -> tuple[list[str], str]:
        return [info.id for info in self._home.bundles()], self._home.live_bundle or ""

    def promote(self, bundle: str) -> None:
        self._home.promote(bundle)

    def rollback(self) -> str:
        return self._home.rollback()

    def reopen(self) -> None:
        self._home.close()
        self._home = self._opened()

    def crash(self, attempt: Callable[[], T], moment: float) -> T | None:
        result = attempt() if moment > LATE else None
        before, lost = self._path, self._home
        self._lives += 1
        _photograph(before, self._path)
        # Only now: closing writes, and what it writes must not be in the picture.
        lost.close()
        shutil.rmtree(before)
        self._home = self._opened()
        return result if moment > TOLD else None

    def jump(self, seconds: float) -> None:
        self._clock.ahead += seconds

    def close(self) -> None:
        self._home.close()
        self._folder.cleanup()

    @property
    def _path(self) -> Path:
        return Path(self._folder.name) / f"home-{self._lives}"

    def _opened(self) -> Home:
        return Home(self._path, clock=self._clock)


def _photograph(home: Path, target: Path) -> None:
    """Copy the files of an open HOME as they are, in an order in which a write meanwhile leaves what a crash can leave.

    The mark may be behind the log, and the write-ahead log may be torn; nothing else may be younger than these.
    """
    log = home / "log.sqlite"
    first = [mark_path(log), log, wal_path(log)]
    target.mkdir()
    for path in first:
        if path.exists():
            shutil.copy2(path, target / path.name)
    left_out = {path.name for path in first} | {f"{log.name}-shm"}
    shutil.copytree(
        home, target, dirs_exist_ok=True, ignore=lambda folder, names: left_out if Path(folder) == home else set()
    )

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from slatewise.domain.events import ItemChange, Stored, UserChange
from slatewise.domain.settings import StorageSettings
from slatewise.storage.catalogue import LiveCatalogue
from slatewise.storage.log import SqliteEventLog
from slatewise.storage.users import LiveUsers
from slatewise.testing.event_log import ACTIONS, seen, together


class PausingLog(SqliteEventLog):
    """Stops whoever reads until told to go on, so that a race happens every time."""

    paused: Event | None = None
    reached = Event()

    def action_indexes(self, db: object) -> list[int]:
        found = super().action_indexes(db)  # type: ignore[arg-type]
        if self.paused is not None:
            self.reached.set()
            assert self.paused.wait(10)
        return found


@pytest.fixture
def log(tmp_path: Path) -> Iterator[PausingLog]:
    with PausingLog(tmp_path / "log.sqlite", ACTIONS) as log:
        yield log


def follow(log: SqliteEventLog, *views: LiveUsers | LiveCatalogue) -> None:
    for view in views:
        view.follow(list(log.read(view.followed)))


def test_a_read_that_an_event_overtakes_is_not_kept(log: PausingLog) -> None:
    users = LiveUsers(log, StorageSettings(), (1,))
    log.append([seen("u", "a")])
    follow(log, users)
    go, answers = Event(), []
    log.reached.clear()
    log.paused = go
    reader = Thread(target=lambda: answers.append(users.state("u")))
    reader.start()
    assert log.reached.wait(10)
    log.paused = None
    log.append([seen("u", "b", "buy", 2.0)])
    follow(log, users)
    go.set()
    reader.join()
    assert answers[0].history.row.tolist() == [0]
    assert users.state("u").history.row.tolist() == [0, 1]
    assert users.state("u").seen.tolist() == [1]


def test_a_read_ahead_of_the_followed_version_shows_nothing_unfollowed(log: PausingLog) -> None:
    users = LiveUsers(log, StorageSettings(), (1,))
    log.append([seen("u", "a")])
    follow(log, users)
    log.append([seen("u", "new item"), UserChange(at=1, user_id="u", attributes={"n": 1.0}), seen("v", "b")])
    assert users.state("u").history.row.tolist() == [0]
    assert users.state("u").attributes == {}
    assert users.state("v").row == -1
    follow(log, users)
    assert users.state("u").history.row.tolist() == [0, 1]
    assert users.state("u").attributes == {"n": 1.0}
    assert users.state("v").history.row.tolist() == [2]


def test_users_are_never_stale_under_concurrent_reads(log: PausingLog) -> None:
    users = LiveUsers(log, StorageSettings(cached_users=3), (1,))
    done, told = Event(), dict.fromkeys("abcde", 0)

    def write() -> None:
        rng = np.random.default_rng(0)
        for i in range(120):
            user = "abcde"[rng.integers(5)]
            # Now and then older than the last, so that the cached state cannot simply be extended.
            log.append([seen(user, f"i{i}", "buy", float(i if i % 7 else 0))])
            follow(log, users)
            told[user] += 1
        done.set()

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        while not done.is_set():
            user = "abcde"[rng.integers(5)]
            at_least = told[user]
            state = users.state(user)
            assert len(state.history) == len(state.seen) >= at_least

    together(write, partial(read, 1), partial(read, 2), partial(read, 3))
    assert {user: len(users.state(user).history) for user in told} == told


class Interrupted(list[Stored]):
    """Events whose reader is interrupted before each of them."""

    def __init__(self, events: Iterable[Stored], interrupt: Callable[[], None]) -> None:
        super().__init__(events)
        self._interrupt = interrupt

    def __iter__(self) -> Iterator[Stored]:
        for stored in super().__iter__():
            self._interrupt()
            yield stored


def test_in_the_middle_of_a_batch_readers_still_see_what_was_before(log: PausingLog) -> None:
    catalogue, looks = LiveCatalogue(), []
    log.append([seen("u", "a"), ItemChange(at=1, item_id="b", attributes={"n": 1.0})])
    follow(log, catalogue)
    log.append(
        [seen("u", "new"), ItemChange(at=1, item_id="b", attributes={"n": 2.0}, available=False), seen("u", "c")]
    )

    def look() -> None:
        looks.append((len(catalogue), catalogue.row("new"), catalogue.rows(["b", "new"]).tolist()))
        assert catalogue.available.tolist() == [True, True]
        assert catalogue.meeting({"n": 1.0, "item_id": {"ne": "new"}}).tolist() == [False, True]

    catalogue.follow(Interrupted(log.read(catalogue.followed), look))
    assert looks == [(2, -1, [1, -1])] * 3
    assert catalogue.rows(["b", "new", "c"]).tolist() == [1, 2, 3]
    assert catalogue.available.tolist() == [True, False, True, True]


def test_readers_see_a_batch_of_items_whole_or_not_at_all(log: PausingLog) -> None:
    catalogue = LiveCatalogue()
    done = Event()

    def batch(i: int) -> list[ItemChange]:
        on = bool(i % 2)
        old = [ItemChange(at=1, item_id=name, attributes={"turn": float(i)}, available=on) for name in "ab"]
        return [*old, *(ItemChange(at=1, item_id=f"{i}-{j}", attributes={"turn": float(i)}) for j in range(2))]

    log.append(batch(0))
    follow(log, catalogue)

    def write() -> None:
        for i in range(1, 50):
            log.append(batch(i))
            follow(log, catalogue)
        done.set()

    def read() -> None:
        while not done.is_set():
            available = catalogue.available
            assert available[0] == available[1]
            assert available.size % 2 == 0
            turns = catalogue.codes("turn")
            assert turns[0] == turns[1]
            mask = catalogue.meeting({"turn": {"gte": 0}, "item_id": {"ne": "a"}})
            assert mask.sum() == mask.size - 1
            newest = [f"{mask.size // 2 - 2}-{j}" for j in range(2)]
            assert (catalogue.rows(newest) >= 0).all()
            assert catalogue.ids(catalogue.rows(newest)) == newest

    together(write, read, read)
    last = catalogue.meeting({"turn": 49})
    assert catalogue.ids(np.flatnonzero(last)) == ["a", "b", "49-0", "49-1"]

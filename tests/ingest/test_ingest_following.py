from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from threading import Timer

import pytest

from slatewise.domain.errors import ConfigError, InputError, NotFound
from slatewise.domain.events import Impression, ItemChange, Stored
from slatewise.domain.settings import IngestSettings, Settings, StorageSettings
from slatewise.ingest.ingest import Ingest
from slatewise.storage.catalogue import LiveCatalogue
from slatewise.storage.log import SqliteEventLog
from slatewise.storage.users import LiveUsers
from slatewise.testing.catalogue import assert_same_items
from slatewise.testing.event_log import seen, together
from slatewise.testing.user_store import assert_same_user

SETTINGS = Settings()


class StoppedClock:
    def now(self) -> float:
        return 1_000_000.0

    def elapsed_ms(self) -> float:
        return 0.0


class Diary:
    """A follower that writes down what it is told."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.fails_at = -1

    def follow(self, events: Sequence[Stored]) -> None:
        if any(stored.offset == self.fails_at for stored in events):
            self.fails_at = -1
            raise RuntimeError("out of order")
        self.offsets.extend(stored.offset for stored in events)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


@pytest.fixture
def log(path: Path) -> Iterator[SqliteEventLog]:
    with SqliteEventLog(path, SETTINGS.action_names) as log:
        yield log


def ingest(log: SqliteEventLog, *followers: Diary | LiveCatalogue | LiveUsers, settings: Settings = SETTINGS) -> Ingest:
    catalogue = next((f for f in followers if isinstance(f, LiveCatalogue)), None)
    return Ingest(log, followers, settings, StoppedClock(), catalogue=catalogue)


def test_an_acknowledged_event_is_durable_and_followed(log: SqliteEventLog) -> None:
    diary = Diary()
    line = ingest(log, diary)
    receipt = line.record([seen("u", "a", event_id="1"), seen("u", "b")])
    assert (receipt.accepted, receipt.version) == (2, log.end)
    assert line.applied == log.end
    assert diary.offsets == [1, 2]
    again = line.record([seen("u", "a", event_id="1")])
    assert (again.accepted, again.duplicates) == (0, 1)
    assert diary.offsets == [1, 2]


def test_nothing_of_a_bad_batch_is_stored(log: SqliteEventLog) -> None:
    diary = Diary()
    line = ingest(log, diary)
    with pytest.raises(InputError, match=r"events\[1\]\.action"):
        line.record([seen("u", "a"), seen("u", "b", "veiw")])
    assert (log.end, diary.offsets) == (0, [])


def test_a_batch_beyond_the_limit_is_refused(log: SqliteEventLog) -> None:
    line = ingest(log, settings=Settings(ingest=IngestSettings(max_batch=2)))
    with pytest.raises(InputError, match="at most 2"):
        line.record([seen("u", "a")] * 3)


def test_a_follower_starts_where_it_stands_or_at_the_beginning(log: SqliteEventLog) -> None:
    log.append([seen("u", "a"), seen("u", "b")])
    catalogue = LiveCatalogue.load(log)
    log.append([seen("u", "c")])  # between loading and following
    diary = Diary()
    line = ingest(log, catalogue, diary)
    assert line.catch_up() == log.end
    assert len(catalogue) == 3
    assert diary.offsets == [1, 2, 3]


def test_what_other_processes_wrote_is_followed_in_order(log: SqliteEventLog, path: Path) -> None:
    diary = Diary()
    line = ingest(log, diary)
    with SqliteEventLog(path, SETTINGS.action_names) as other:
        other.append([seen("u", "a")])
        line.record([seen("u", "b")])
        other.append([seen("u", "c")] * 5000)
        assert line.catch_up() == other.end
    assert diary.offsets == list(range(1, 5003))


def test_concurrent_writers_are_followed_once_each_in_order(log: SqliteEventLog) -> None:
    diary = Diary()
    line = ingest(log, diary)

    def send(me: int) -> None:
        for i in range(40):
            receipt = line.record([seen(f"u{me}", f"i{i}")])
            assert line.applied >= receipt.version
            assert receipt.version - 1 in diary.offsets

    together(*(partial(send, me) for me in range(4)))
    assert diary.offsets == list(range(1, 161))


def test_followers_stay_exactly_once_when_one_of_them_fails(log: SqliteEventLog) -> None:
    before, failing, after = Diary(), Diary(), Diary()
    line = ingest(log, before, failing, after)
    line.record([seen("u", "a")])
    failing.fails_at = 2
    with pytest.raises(RuntimeError):
        line.record([seen("u", "b")])
    assert line.applied == 2
    line.record([seen("u", "c")])
    assert before.offsets == failing.offsets == after.offsets == [1, 2, 3]


def test_a_newcomer_is_brought_up_before_it_follows(log: SqliteEventLog) -> None:
    line = ingest(log)
    line.record([seen("u", f"i{i}") for i in range(5)])
    whole, part = Diary(), Diary()
    line.add_follower(whole, 0)
    line.add_follower(part, 4)
    line.record([seen("u", "z")])
    assert whole.offsets == [1, 2, 3, 4, 5, 6]
    assert part.offsets == [4, 5, 6]


def test_a_newcomer_misses_nothing_that_arrives_while_it_catches_up(log: SqliteEventLog) -> None:
    line = ingest(log)
    line.record([seen("u", "a"), seen("u", "b")])

    class Busy(Diary):
        def follow(self, events: Sequence[Stored]) -> None:
            super().follow(events)
            if len(self.offsets) == 2:
                line.record([seen("u", "meanwhile")])

    newcomer = Busy()
    line.add_follower(newcomer, 0)
    assert line.applied == 4
    assert newcomer.offsets == [1, 2, 3]


def test_replacing_a_follower_under_load_loses_and_doubles_nothing(log: SqliteEventLog) -> None:
    diaries = [Diary() for _ in range(8)]
    line = ingest(log, diaries[0])

    def send() -> None:
        for i in range(150):
            line.record([seen("u", f"i{i}")])

    def swap() -> None:
        for old, new in pairwise(diaries):
            line.replace_follower(old, new, 0)

    together(send, swap)
    line.record([seen("u", "last")])
    assert diaries[-1].offsets == list(range(1, 152))
    for diary in diaries[:-1]:
        assert diary.offsets == list(range(1, len(diary.offsets) + 1))
    with pytest.raises(NotFound):
        line.replace_follower(diaries[0], Diary(), 0)


def test_wait_for_finds_what_was_shown_too_which_nobody_follows(log: SqliteEventLog, path: Path) -> None:
    line = ingest(log, Diary())
    line.record([seen("u", "a")])
    shown = Impression(at=1.0, user_id="u", request_id="r", shown=("a",))
    with SqliteEventLog(path, log.action_names) as other:
        version = other.append([shown]).version
    assert line.is_current
    assert line.catch_up() < version, "it may wait"
    assert line.wait_for(version, 0.0)
    assert line.applied == version


def test_wait_for_sees_another_processes_write_and_gives_up_in_time(log: SqliteEventLog, path: Path) -> None:
    diary = Diary()
    line = ingest(log, diary)
    assert not line.wait_for(2, 0.02)
    with SqliteEventLog(path, SETTINGS.action_names) as other:
        timer = Timer(0.1, lambda: other.append([seen("u", "a")]))
        timer.start()
        assert line.wait_for(2, 20.0)
        timer.join()
    assert diary.offsets == [1]
    assert line.wait_for(0, 0.0)


def test_unknown_items_are_refused_when_settings_say_so(log: SqliteEventLog) -> None:
    settings = Settings(ingest=IngestSettings(unknown_items="refuse"))
    with pytest.raises(ConfigError, match="unknown_items"):
        ingest(log, settings=settings)
    line = ingest(log, LiveCatalogue.load(log), settings=settings)
    with pytest.raises(InputError, match=r"events\[0\]\.item_id"):
        line.record([seen("u", "new")])
    line.record([ItemChange(at=1, item_id="new"), seen("u", "new")])
    assert line.record([seen("u", "new")]).accepted == 1
    with pytest.raises(InputError, match=r"events\[1\]\.item_id"):
        line.record([seen("u", "new"), seen("u", "other")])


def test_views_followed_live_equal_views_rebuilt_from_the_log(log: SqliteEventLog) -> None:
    catalogue, users = LiveCatalogue.load(log), LiveUsers(log, StorageSettings(), SETTINGS.seen_actions)
    line = ingest(log, catalogue, users)
    for i in range(60):
        users.state(f"u{i % 4}")
        line.record(
            [
                seen(f"u{i // 2 % 4}", f"i{i // 2 % 11}", "buy", float(i % 9), event_id=f"{i // 2}"),
                ItemChange(at=float(i), item_id=f"i{i % 13}", attributes={"n": float(i)}),
            ]
        )
    anew = LiveUsers(log, StorageSettings(), SETTINGS.seen_actions)
    assert_same_items(LiveCatalogue.load(log), catalogue)
    for i in range(5):
        assert_same_user(anew, users, f"u{i}")

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from slatewise.domain.errors import InputError, StorageError
from slatewise.domain.events import Interaction, Receipt
from slatewise.storage.encoding import encode
from slatewise.storage.log import SqliteEventLog
from slatewise.storage.schema import open_file, prepare
from slatewise.storage.writer import Writer
from slatewise.testing.event_log import seen, together

HERE = Path(__file__).parent


def test_what_was_acknowledged_survives_kills_at_random_moments(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    rng = np.random.default_rng(1)
    acknowledged: set[str] = set()
    for life in range(5):
        child = subprocess.Popen(
            [sys.executable, str(HERE / "appending_child.py"), str(path), f"life{life}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        lines = [child.stdout.readline()]
        time.sleep(float(rng.uniform(0.0, 0.25)))
        child.kill()
        lines += child.stdout.readlines()
        child.stdout.close()
        child.wait()
        assert child.returncode == -9
        acknowledged |= {line.strip() for line in lines if line.endswith("\n")}
        with SqliteEventLog(path, ("view",)) as log:
            kept = [stored.event.event_id for stored in log.read() if isinstance(stored.event, Interaction)]
            assert log.append([seen("u", "after the crash", event_id=f"reopened{life}")]).accepted == 1
            rows = log.interactions()
        assert acknowledged <= set(kept)
        assert len(kept) == len(set(kept))
        # A batch is there whole or not at all: three events under one number.
        batches = [event_id.rsplit("-", 1)[0] for event_id in kept if event_id and event_id.startswith("life")]
        assert all(batches.count(batch) == 3 for batch in set(batches[-30:]))
        assert sorted(set(rows.item.tolist())) == list(range(int(rows.item.max()) + 1))
    assert len(acknowledged) > 50
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_after_a_write_error_nothing_more_is_accepted_until_the_log_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    child = subprocess.run(
        [sys.executable, str(HERE / "full_disk_child.py"), str(path)], capture_output=True, text=True, check=True
    )
    *acknowledged, last = child.stdout.split("\n")[:-1]
    assert last.startswith("refused 3: the event log takes no more writes until it is opened anew")
    with SqliteEventLog(path, ("view",)) as log:
        kept = [stored.event.event_id for stored in log.read() if isinstance(stored.event, Interaction)]
        assert [str(event_id).split("-")[0] for event_id in kept] == acknowledged
        assert len(kept) > 10
        assert log.append([seen("u", "i")]).accepted == 1


@pytest.fixture
def connect(tmp_path: Path) -> Callable[[], sqlite3.Connection]:
    def connect() -> sqlite3.Connection:
        db = open_file(tmp_path / "log.sqlite", read_only=False)
        prepare(db, tmp_path / "log.sqlite")
        return db

    return connect


def test_callers_who_wait_together_share_one_commit(connect: Callable[[], sqlite3.Connection]) -> None:
    db, blocker = connect(), connect()
    statements: list[str] = []
    db.set_trace_callback(statements.append)
    writer = Writer(db)
    receipts: list[Receipt] = []
    barrier = Barrier(9)

    def send(me: int) -> None:
        barrier.wait()
        receipts.append(writer.submit(encode([seen(f"u{me}", "i", event_id=f"{me}")], ("view",))))

    def hold() -> None:
        blocker.execute("BEGIN IMMEDIATE")
        barrier.wait()
        time.sleep(0.3)
        blocker.execute("COMMIT")

    together(hold, *(partial(send, me) for me in range(8)))
    writer.close()
    blocker.close()
    assert sum(receipt.accepted for receipt in receipts) == 8
    assert sorted(receipt.version for receipt in receipts) == list(range(2, 10))
    assert statements.count("COMMIT") <= 2


def test_a_failed_commit_fails_all_who_wait_and_stores_nothing(
    connect: Callable[[], sqlite3.Connection],
) -> None:
    db, blocker = connect(), connect()
    db.execute("PRAGMA busy_timeout = 50")
    writer = Writer(db)
    writer.submit(encode([seen("u", "before")], ("view",)))
    blocker.execute("BEGIN IMMEDIATE")
    failures: list[str] = []

    def send(me: int) -> None:
        with pytest.raises(StorageError, match="nothing was stored"):
            writer.submit(encode([seen(f"u{me}", f"lost{me}", "view", event_id=f"{me}")], ("view",)))
        failures.append(str(me))

    together(*(partial(send, me) for me in range(4)))
    blocker.execute("ROLLBACK")
    assert len(failures) == 4
    again = writer.submit(encode([seen("u1", "kept", event_id="1")], ("view",)))
    assert again == Receipt(accepted=1, duplicates=0, version=3)
    writer.close()
    assert blocker.execute("SELECT id FROM item_ids ORDER BY row").fetchall() == [("before",), ("kept",)]
    assert blocker.execute("SELECT id, row FROM user_ids ORDER BY row").fetchall() == [("u", 0), ("u1", 1)]
    blocker.close()


def test_a_full_disk_leaves_no_rows_behind_and_is_got_over(connect: Callable[[], sqlite3.Connection]) -> None:
    db, looker = connect(), connect()
    writer = Writer(db)
    writer.submit(encode([seen("u", "a")], ("view", "buy")))
    pages = looker.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages + 3}")
    many = encode([seen(f"u{i}", f"i{i}", "buy", event_id=f"{i}") for i in range(3000)], ("view", "buy"))
    with pytest.raises(StorageError, match="full"):
        writer.submit(many)
    assert looker.execute("SELECT count(*) FROM log").fetchone() == (1,)
    db.execute("PRAGMA max_page_count = 1000000")
    few = encode([seen("u7", "i9", "buy", event_id="9"), seen("u", "b")], ("view", "buy"))
    assert writer.submit(few) == Receipt(accepted=2, duplicates=0, version=4)
    writer.close()
    assert looker.execute("SELECT id FROM item_ids ORDER BY row").fetchall() == [("a",), ("i9",), ("b",)]
    assert looker.execute("SELECT id FROM user_ids ORDER BY row").fetchall() == [("u",), ("u7",)]
    assert looker.execute("SELECT user, item, action FROM log").fetchall() == [(0, 0, 0), (1, 1, 1), (0, 2, 0)]
    looker.close()


def test_one_callers_bad_input_does_not_touch_the_others(tmp_path: Path) -> None:
    with SqliteEventLog(tmp_path / "log.sqlite", ("view",)) as log:

        def good(me: int) -> None:
            for i in range(20):
                log.append([seen(f"u{me}", f"{i}")])

        def bad() -> None:
            for text in ("a\0b", "\ud800") * 10:
                with pytest.raises(InputError, match=r"events\[1\]\.item_id"):
                    log.append([seen("never", "never"), seen("u", text)])

        together(partial(good, 0), bad, partial(good, 1))
        assert len(log.interactions()) == 40
        assert {stored.user for stored in log.read()} == {0, 1}


def test_several_processes_may_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    with SqliteEventLog(path, ("view", "buy")) as one, SqliteEventLog(path, ("buy", "view")) as other:

        def send(log: SqliteEventLog, me: int) -> None:
            for i in range(30):
                log.append([seen(f"u{i}", f"i{i}", "buy", event_id=f"{me}-{i}"), seen("u", "i", event_id=f"both-{i}")])

        together(partial(send, one, 1), partial(send, other, 2))
        assert one.end == other.end == 91
        assert [s.event for s in one.read()] == [s.event for s in other.read()]
        rows = one.interactions()
        assert sorted(set(rows.item.tolist())) == list(range(31))
        assert set(rows.action[rows.item == rows.item[0]].tolist()) <= {0, 1}
        assert (one.interactions().action == 1 - other.interactions().action).all()


def test_a_reader_sees_what_another_opening_wrote(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    with SqliteEventLog(path, ("view",)) as log, SqliteEventLog(path, ("view",), read_only=True) as reader:
        assert reader.end == 0
        receipt = log.append([seen("u", "a")])
        assert reader.end == receipt.version
        assert [s.item for s in reader.read()] == [0]
        with pytest.raises(StorageError, match="reading only"):
            reader.append([seen("u", "b")])

"""What the log does when the disk is full, fails, or changed what it had."""

import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from slatewise.domain.errors import StorageError, StorageFull
from slatewise.domain.events import ItemRemoval, UserRemoval
from slatewise.storage import wal
from slatewise.storage.log import SqliteEventLog
from slatewise.storage.mark import mark_path, read_mark
from slatewise.testing.event_log import seen


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """A log as a crash leaves it after two acknowledged appends, both in the write-ahead log."""
    folder = tmp_path / "crashed"
    folder.mkdir()
    with SqliteEventLog(tmp_path / "log.sqlite", ("view",)) as log:
        for name in ("a", "b"):
            log.append([seen("u", f"{name}{i}") for i in range(60)])
        copy(tmp_path, folder)
    return folder / "log.sqlite"


def copy(source: Path, target: Path) -> None:
    for suffix in ("", "-wal", "-mark"):
        shutil.copy(source / f"log.sqlite{suffix}", target)


def test_a_crash_alone_loses_nothing_and_tears_nothing(crashed: Path) -> None:
    with SqliteEventLog(crashed, ("view",)) as log:
        assert log.end == read_mark(crashed) == 121
        assert log.tail.committed > 0
        assert log.tail.torn == 0


def test_a_write_ahead_log_that_lost_what_was_acknowledged_is_refused_and_left_as_it_is(crashed: Path) -> None:
    file = wal.wal_path(crashed)
    whole = file.read_bytes()
    middle = len(whole) * 3 // 4
    file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    for read_only in (False, True):
        with pytest.raises(StorageError, match=r"below offset 121 .*-wal is damaged at byte \d+.*slatewise rebuild"):
            SqliteEventLog(crashed, ("view",), read_only=read_only)
    assert len(file.read_bytes()) == len(whole)
    file.unlink()
    crashed.with_name("log.sqlite-shm").unlink()
    with pytest.raises(StorageError, match=r"log.sqlite-wal is damaged or missing; events below offset 121"):
        SqliteEventLog(crashed, ("view",))


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the log says, heard at its own logger: libraries of other tests here may have muted what is above."""
    logger = logging.getLogger("slatewise.storage.log")
    muted, logger.disabled = logger.disabled, False
    logger.addHandler(caplog.handler)
    with caplog.at_level(logging.WARNING, logger.name):
        yield caplog
    logger.removeHandler(caplog.handler)
    logger.disabled = muted


def test_a_torn_tail_is_cut_off_and_counted(crashed: Path, told: pytest.LogCaptureFixture) -> None:
    file = wal.wal_path(crashed)
    whole = file.read_bytes()
    frame = 24 + 4096
    file.write_bytes(whole[: -frame - 100])
    mark_path(crashed).unlink()  # the second append was never acknowledged
    before = wal.scan(file)
    with SqliteEventLog(crashed, ("view",)) as log:
        assert log.tail == before
        assert log.tail.torn >= 1
        assert log.end == 61
        assert f"cut off at byte {before.at}" in told.text
        assert log.append([seen("u", "after")]).version == 62
    with SqliteEventLog(crashed, ("view",)) as log:
        assert [stored.item for stored in log.read(61)] == [60]


def test_frames_of_an_earlier_round_of_the_write_ahead_log_are_no_torn_tail(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    with SqliteEventLog(path, ("view",)) as log:
        log.append([seen("u", f"{i}") for i in range(500)])
        db = sqlite3.connect(path)
        assert db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[0] == 0
        db.close()
        log.append([seen("u", "x")])
        found = wal.scan(wal.wal_path(path))
        assert 0 < found.committed < 12
        assert found.torn == 0
        assert wal.wal_path(path).stat().st_size > found.at


def test_opening_after_a_crash_writes_the_write_ahead_log_again_before_anything_stands_behind_it(
    crashed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(wal.os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    node = wal.wal_path(crashed).stat().st_ino
    SqliteEventLog(crashed, ("view",)).close()
    assert node in synced


@pytest.mark.parametrize("change", ["value = 7", "user = 1", "at = NULL", "event_id = 'other'", "sum = sum + 1"])
def test_an_event_that_is_not_as_it_was_written_is_not_read(tmp_path: Path, change: str) -> None:
    path = tmp_path / "log.sqlite"
    with SqliteEventLog(path, ("view",)) as log:
        log.append([seen("u", "a", event_id="e"), seen("v", "b"), seen("u", "c")])
    db = sqlite3.connect(path)
    db.execute(f"UPDATE log SET {change} WHERE offset = 1")
    db.commit()
    db.close()
    with SqliteEventLog(path, ("view",)) as log:
        with pytest.raises(StorageError, match=r"log\.sqlite: event 1 is not as it was written.*doctor --verify"):
            list(log.read())
        assert [stored.offset for stored in log.read(2)] == [2, 3]


def test_a_damaged_page_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    with SqliteEventLog(path, ("view",)) as log:
        log.append([seen("u", f"{i}") for i in range(2000)])
    whole = bytearray(path.read_bytes())
    for page in range(8, len(whole) // 4096 - 1):
        whole[page * 4096 : page * 4096 + 8] = b"\xff" * 8
    path.write_bytes(whole)
    with pytest.raises(StorageError, match=r"cannot read .*slatewise rebuild"):
        SqliteEventLog(path, ("view",))


@pytest.mark.parametrize("change", ["at = 'noon'", "action = 66"])
def test_what_was_never_written_is_damage_and_no_accident_of_ours(tmp_path: Path, change: str) -> None:
    path = tmp_path / "log.sqlite"
    with SqliteEventLog(path, ("view",)) as log:
        log.append([seen("u", "a")])
        db = sqlite3.connect(path)
        db.execute(f"UPDATE log SET {change}")
        db.commit()
        db.close()
        with pytest.raises(StorageError, match=r"never written.*doctor --verify"):
            log.interactions()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("needs root on Linux, to mount a small disk")
    at = tmp_path / "disk"
    at.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(at)], check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield at
    subprocess.run(["umount", "-l", str(at)], check=True)


def fill(log: SqliteEventLog) -> int:
    for number in range(200):
        try:
            log.append([seen("u", "a" * 500 + f"{number}-{i}") for i in range(50)])
        except StorageFull:
            break
    return log.end - 1


def test_on_a_full_disk_reads_and_removals_go_on_and_writes_once_there_is_room(small_disk: Path) -> None:
    filler = small_disk / "somebody else's"
    with SqliteEventLog(small_disk / "log.sqlite", ("view",)) as log:
        log.append([seen("u", "a"), seen("v", "b")])
        filler.write_bytes(b"x" * 1_000_000)
        stored = fill(log)
        with open(small_disk / "the rest", "wb", buffering=0) as rest, suppress(OSError):
            while True:
                rest.write(b"x" * 512)
        assert log.trouble is not None
        assert "full" in log.trouble
        for i in range(30):
            log.append([ItemRemoval(at=1.0, item_id=f"gone{i}")])
            with pytest.raises(StorageFull):
                log.append([seen("u", "c")])
        log.append([UserRemoval(at=1.0, user_id="v")])
        assert len(log.interactions()) == stored - 1
        assert not (small_disk / "log.sqlite-reserve").exists()
        filler.unlink()
        assert log.append([seen("w", "e")]).accepted == 1
        assert log.trouble is None
    with SqliteEventLog(small_disk / "log.sqlite", ("view",)) as log:
        assert sum(1 for _ in log.read()) == stored + 31 + 1

"""How far the log is, told from memory that processes share: never behind what was acknowledged."""

import os
import time

import pytest

from slatewise.domain.events import Impression
from slatewise.storage import mark
from slatewise.storage.log import SqliteEventLog
from slatewise.storage.mark import Glance, Mark, mark_path, read_mark
from slatewise.testing.event_log import seen


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.sqlite"


@pytest.fixture
def two(path):
    """The log as two processes have it open."""
    with SqliteEventLog(path, ("view",)) as one, SqliteEventLog(path, ("view",)) as other:
        yield one, other


def test_the_end_is_known_until_anybody_writes(two):
    one, other = two
    assert one.glance() is None, "nobody looked yet"
    assert one.end == 0 == one.glance()
    other.append([seen("u", "a")])
    assert one.glance() is None
    assert one.end == one.glance() == 2
    one.append([seen("u", "b")])
    assert one.glance() is None, "a log's own writes are no exception"
    assert other.end == other.glance() == 3


def test_what_was_shown_changes_nothing_and_is_found_by_the_next_look(two):
    one, other = two
    assert one.end == one.glance() == 0
    version = other.append([Impression(at=1.0, user_id="u", request_id="r", shown=("a",))]).version
    assert one.glance() == 0
    assert one.end == one.glance() == version
    other.append([Impression(at=1.0, user_id="u", request_id="q", shown=("a",)), seen("u", "a")])
    assert one.glance() is None


def test_it_is_known_for_a_while_only(two, monkeypatch):
    one, _ = two
    assert one.end == one.glance() == 0
    now = time.monotonic()
    monkeypatch.setattr(mark.time, "monotonic", lambda: now + mark.TRUST_S + 0.01)
    assert one.glance() is None


@pytest.mark.parametrize("is_twin", [False, True], ids=["", "twin"])
def test_a_late_writer_of_an_older_end_does_not_bring_back_what_was_seen(path, is_twin, monkeypatch):
    """Two processes learn of the same end, a third goes on, and one of the first is late to write it down."""
    if is_twin:
        monkeypatch.setattr(mark.os, "urandom", bytes)
    path.touch()
    early, late, third = Mark(path, 10), Mark(path, 10), Mark(path, 10)
    early.tell(11)
    glance = Glance(path)
    assert glance.looked(lambda: 11) == glance.known() == 11
    third.tell(12)
    late.tell(11)
    assert glance.known() == (11 if is_twin else None)
    for one in (early, late, third):
        one.close()


def test_a_mark_that_cannot_be_written_delays_the_acknowledgement_until_nobody_trusts_it(two, path):
    one, other = two
    assert one.end == one.glance() == 0
    before = read_mark(path)
    failing = os.open(mark_path(path), os.O_RDONLY)
    os.dup2(failing, other._writer._mark._handle)
    begun = time.monotonic()
    receipt = other.append([seen("u", "a")])
    assert time.monotonic() - begun > mark.TRUST_S
    assert read_mark(path) == before
    assert one.glance() is None
    assert one.end == receipt.version
    os.close(failing)


def test_a_mark_of_an_earlier_release_is_read_and_made_whole(path):
    with SqliteEventLog(path, ("view",)) as log:
        log.append([seen("u", "a")])
    mark_path(path).write_bytes(mark_path(path).read_bytes()[:12])
    assert read_mark(path) == 2
    with SqliteEventLog(path, ("view",)) as log:
        assert log.end == log.glance() == 2
    assert read_mark(path) == 2


def test_after_closing_nothing_is_known(path):
    with SqliteEventLog(path, ("view",)) as log:
        assert log.end == log.glance() == 0
    assert log.glance() is None

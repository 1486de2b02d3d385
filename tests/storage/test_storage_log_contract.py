from collections.abc import Iterator
from pathlib import Path

import pytest

from slatewise.ports.stores import EventLog
from slatewise.storage.log import SqliteEventLog
from slatewise.testing.event_log import ACTIONS, EventLogContract
from slatewise.testing.memory_log import MemoryLog


class TestSqliteEventLog(EventLogContract):
    @pytest.fixture
    def log(self, tmp_path: Path) -> Iterator[EventLog]:
        with SqliteEventLog(tmp_path / "log.sqlite", ACTIONS) as log:
            yield log


class TestMemoryLog(EventLogContract):
    @pytest.fixture
    def log(self) -> EventLog:
        return MemoryLog(ACTIONS)

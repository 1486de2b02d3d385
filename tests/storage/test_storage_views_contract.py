from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slatewise.domain.settings import StorageSettings
from slatewise.storage.catalogue import LiveCatalogue
from slatewise.storage.log import SqliteEventLog
from slatewise.storage.users import LiveUsers
from slatewise.testing.catalogue import CatalogueContract
from slatewise.testing.event_log import ACTIONS
from slatewise.testing.memory_log import MemoryLog
from slatewise.testing.user_store import HISTORY_LENGTH, SEEN, UserStoreContract


@pytest.fixture(name="durable")
def durable_log(tmp_path: Path) -> Iterator[SqliteEventLog]:
    with SqliteEventLog(tmp_path / "log.sqlite", ACTIONS) as log:
        yield log


class TestLiveUsers(UserStoreContract):
    @pytest.fixture
    def log(self, durable: SqliteEventLog) -> SqliteEventLog:
        return durable

    @pytest.fixture
    def make(self) -> Callable[[SqliteEventLog], LiveUsers]:
        return lambda log: LiveUsers(log, StorageSettings(history_length=HISTORY_LENGTH), SEEN)


class TestLiveUsersWithHardlyAnyCache(TestLiveUsers):
    @pytest.fixture
    def make(self) -> Callable[[SqliteEventLog], LiveUsers]:
        return lambda log: LiveUsers(log, StorageSettings(history_length=HISTORY_LENGTH, cached_users=2), SEEN)


class TestLiveCatalogue(CatalogueContract):
    @pytest.fixture
    def log(self, durable: SqliteEventLog) -> SqliteEventLog:
        return durable

    @pytest.fixture
    def make(self) -> Callable[[SqliteEventLog], LiveCatalogue]:
        return LiveCatalogue.load


class TestLiveCatalogueByReplay(CatalogueContract):
    @pytest.fixture
    def log(self) -> MemoryLog:
        return MemoryLog(ACTIONS)

    @pytest.fixture
    def make(self) -> Callable[[MemoryLog], LiveCatalogue]:
        def replay(log: MemoryLog) -> LiveCatalogue:
            catalogue = LiveCatalogue()
            catalogue.follow(list(log.read()))
            return catalogue

        return replay

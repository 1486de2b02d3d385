from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from slatewise.domain.settings import StorageSettings
from slatewise.storage.catalogue import LiveCatalogue
from slatewise.storage.postgres.log import PostgresEventLog
from slatewise.storage.users import LiveUsers
from slatewise.testing.catalogue import CatalogueContract
from slatewise.testing.event_log import ACTIONS, EventLogContract
from slatewise.testing.user_store import HISTORY_LENGTH, SEEN, UserStoreContract

if TYPE_CHECKING:
    from psycopg import Connection

SCHEMA = "contract"


@pytest.fixture(scope="module")
def server(postgres_url: str) -> Iterator[Connection]:
    """A connection beside the log's own: to make tables for each test would take longer than the tests."""
    import psycopg

    PostgresEventLog(postgres_url, SCHEMA, ACTIONS).close()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(name="durable")
def durable_log(postgres_url: str, server: Connection) -> Iterator[PostgresEventLog]:
    with server.pipeline():
        for table in ("log", "user_ids", "item_ids", "actions"):
            server.execute(f"DELETE FROM {SCHEMA}.{table}")
        server.execute(f"UPDATE {SCHEMA}.head SET place = 0, users = 0, items = 0")
    with PostgresEventLog(postgres_url, SCHEMA, ACTIONS) as log:
        yield log


class TestPostgresEventLog(EventLogContract):
    @pytest.fixture
    def log(self, durable: PostgresEventLog) -> PostgresEventLog:
        return durable


class TestLiveUsersOfPostgres(UserStoreContract):
    @pytest.fixture
    def log(self, durable: PostgresEventLog) -> PostgresEventLog:
        return durable

    @pytest.fixture
    def make(self) -> Callable[[PostgresEventLog], LiveUsers]:
        return lambda log: LiveUsers(log, StorageSettings(history_length=HISTORY_LENGTH, cached_users=2), SEEN)


class TestLiveCatalogueOfPostgres(CatalogueContract):
    @pytest.fixture
    def log(self, durable: PostgresEventLog) -> PostgresEventLog:
        return durable

    @pytest.fixture
    def make(self) -> Callable[[PostgresEventLog], LiveCatalogue]:
        return LiveCatalogue.load

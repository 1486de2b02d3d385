"""What a PostgreSQL may do to a log: go away, come back, refuse writes, be full, be someone else's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from slatewise.domain.errors import ConfigError, ReadOnly, StorageError, StorageFull, StorageLost
from slatewise.storage.postgres import schema as tables
from slatewise.storage.postgres import writer
from slatewise.storage.postgres.log import PostgresEventLog
from slatewise.testing.event_log import ACTIONS, seen, together

if TYPE_CHECKING:
    from psycopg import Connection


@pytest.fixture
def server(postgres_url: str) -> Iterator[Connection]:
    import psycopg

    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def log(postgres_schema: tuple[str, str]) -> Iterator[PostgresEventLog]:
    with PostgresEventLog(*postgres_schema, ACTIONS) as log:
        yield log


def items(log: PostgresEventLog) -> list[str]:
    return [stored.event.item_id for stored in log.read()]  # type: ignore[union-attr]


def append_often(log: PostgresEventLog) -> None:
    for _ in range(200):
        log.append([seen("u", "a")])


def hang_up_all(server: Connection) -> None:
    """End every session but this one, and wait until they are gone."""
    server.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )


def test_sessions_that_the_server_ended_are_replaced_without_anybody_noticing(
    log: PostgresEventLog, server: Connection
) -> None:
    log.append([seen("u", "a")])
    assert log.end == 2
    hang_up_all(server)
    assert log.append([seen("u", "b")]).version == 3
    hang_up_all(server)
    assert items(log) == ["a", "b"]


def test_sessions_ended_at_any_moment_cost_no_event_and_double_none(log: PostgresEventLog, server: Connection) -> None:
    is_over = Event()

    def send(me: int) -> None:
        number = 0
        while not is_over.is_set() or number < 20:
            try:
                log.append([seen(f"u{me}", f"{me}-{number}-{j}") for j in range(2)])
            except StorageLost as error:
                # Ended again and again before it could be sent: told so, and sent again by whoever was told.
                if "nothing was stored" not in str(error):
                    raise
                continue
            number += 1

    def hang_up() -> None:
        try:
            for _ in range(25):
                hang_up_all(server)
        finally:
            is_over.set()

    together(hang_up, *(partial(send, me) for me in range(3)))
    found = items(log)
    assert len(found) == len(set(found)) >= 120
    assert {int(name.rpartition("-")[2]) for name in found} == {0, 1}


def test_while_the_server_is_away_everything_says_so_without_a_password_and_goes_on_once_it_is_back(
    postgres_relay: Any, postgres_schema: tuple[str, str]
) -> None:
    with PostgresEventLog(postgres_relay.url(), postgres_schema[1], ACTIONS) as log:
        log.append([seen("u", "a")])
        postgres_relay.cut()
        with pytest.raises(StorageLost, match="nothing was stored") as refused:
            log.append([seen("u", "b")])
        with pytest.raises(StorageLost) as unread:
            log.interactions()
        assert f"127.0.0.1:{postgres_relay.port}" in (log.trouble or "")
        for told in (str(refused.value), str(unread.value), log.shown):
            assert "hush" not in (told or "")
        postgres_relay.mend()
        assert log.trouble is None
        assert log.append([seen("u", "c")]).accepted == 1
        assert items(log) == ["a", "c"]


def test_a_commit_whose_answer_got_lost_is_found_and_not_repeated(
    postgres_relay: Any, postgres_schema: tuple[str, str]
) -> None:
    with PostgresEventLog(postgres_relay.url(), postgres_schema[1], ACTIONS) as log:
        log.append([seen("u", "a")])
        postgres_relay.lose_answer_to(b"COMMIT\0")
        assert log.append([seen("u", "b"), seen("v", "c")]).version == 4
        assert log.append([seen("v", "c")]).version == 5
        assert [(s.offset, s.user, s.item) for s in log.read()] == [(1, 0, 0), (2, 0, 1), (3, 1, 2), (4, 1, 2)]


def test_a_commit_that_never_arrived_is_sent_again(postgres_relay: Any, postgres_schema: tuple[str, str]) -> None:
    with PostgresEventLog(postgres_relay.url(), postgres_schema[1], ACTIONS) as log:
        log.append([seen("u", "a")])
        postgres_relay.lose_answer_to(b"FOR UPDATE")
        assert log.append([seen("u", "b")]).version == 3
        assert items(log) == ["a", "b"]


def test_where_nobody_can_say_what_became_of_a_commit_the_caller_is_told_that(
    postgres_relay: Any, postgres_schema: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SETTLE_S", 0.2)
    with PostgresEventLog(postgres_relay.url(), postgres_schema[1], ACTIONS) as log:
        log.append([seen("u", "a")])
        postgres_relay.lose_answer_to(b"COMMIT\0", stay_cut=True)
        with pytest.raises(StorageError, match="not known whether") as told:
            log.append([seen("u", "b", event_id="1")])
        assert not isinstance(told.value, StorageLost)
        postgres_relay.mend()
        assert log.append([seen("u", "b", event_id="1")]).duplicates == 1


def test_a_server_that_turns_read_only_is_told_from_one_that_is_away(log: PostgresEventLog, server: Connection) -> None:
    log.append([seen("u", "a")])
    server.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
    try:
        hang_up_all(server)
        with pytest.raises(ReadOnly, match="nothing was stored"):
            log.append([seen("u", "b")])
        assert "read-only" in (log.trouble or "")
        assert items(log) == ["a"]
    finally:
        server.execute("SET default_transaction_read_only = off")
        server.execute("ALTER DATABASE postgres RESET default_transaction_read_only")
    hang_up_all(server)
    assert log.append([seen("u", "c")]).accepted == 1
    assert log.trouble is None


def test_a_full_server_refuses_until_there_is_room(
    log: PostgresEventLog, server: Connection, postgres_schema: tuple[str, str]
) -> None:
    schema = postgres_schema[1]
    server.execute(f"""
        CREATE FUNCTION {schema}.full() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$
    """)
    server.execute(f"CREATE TRIGGER full_disk BEFORE INSERT ON {schema}.log EXECUTE FUNCTION {schema}.full()")
    with pytest.raises(StorageFull, match="No space left"):
        log.append([seen("u", "a")])
    assert "No space left" in (log.trouble or "")
    server.execute(f"DROP TRIGGER full_disk ON {schema}.log")
    assert log.append([seen("v", "b")]).version == 2
    assert log.trouble is None
    assert [(s.user, s.item) for s in log.read()] == [(0, 0)]


def test_what_is_acknowledged_is_on_the_servers_disk_whatever_its_settings_say(
    log: PostgresEventLog, server: Connection, postgres_schema: tuple[str, str]
) -> None:
    schema = postgres_schema[1]
    assert server.execute("SHOW synchronous_commit").fetchone() == ("off",)
    server.execute(f"CREATE TABLE {schema}.told(way text)")
    server.execute(f"""
        CREATE FUNCTION {schema}.tell() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO {schema}.told VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$
    """)
    server.execute(f"CREATE TRIGGER tell AFTER UPDATE ON {schema}.head EXECUTE FUNCTION {schema}.tell()")
    log.append([seen("u", "a")])
    assert server.execute(f"SELECT way FROM {schema}.told").fetchall() == [("on",)]


def test_a_server_that_syncs_nothing_is_refused(log: PostgresEventLog, server: Connection) -> None:
    server.execute("ALTER SYSTEM SET fsync = off")
    try:
        server.execute("SELECT pg_reload_conf()")
        with pytest.raises(StorageError, match="fsync is off"):
            append_often(log)  # the server tells its sessions when it gets round to it
    finally:
        server.execute("ALTER SYSTEM RESET fsync")
        server.execute("SELECT pg_reload_conf()")


def test_processes_that_write_at_once_get_one_order_and_dense_rows(postgres_schema: tuple[str, str]) -> None:
    def write(log: PostgresEventLog, me: int) -> None:
        for i in range(15):
            log.append([seen(f"u{i}", f"i{me}-{i}"), seen("all", "all", event_id=f"{i}")])

    with PostgresEventLog(*postgres_schema, ACTIONS) as one, PostgresEventLog(*postgres_schema, ACTIONS) as two:
        together(partial(write, one, 0), partial(write, two, 1))
        stored = list(two.read())
        assert [s.offset for s in stored] == list(range(1, 46))
        assert list(dict.fromkeys(s.user for s in stored)) == list(range(16))
        assert list(dict.fromkeys(s.item for s in stored)) == list(range(31))
        assert one.end == two.end == 46


def test_a_new_schema_is_made_once_and_an_old_one_upgraded_where_it_stands(
    postgres_schema: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError, match="holds no event log"):
        PostgresEventLog(*postgres_schema, ACTIONS, read_only=True)

    def open_one() -> None:
        with PostgresEventLog(*postgres_schema, ACTIONS) as log:
            log.append([seen("u", "a")])

    together(open_one, open_one, open_one)
    monkeypatch.setattr(tables, "MIGRATIONS", (*tables.MIGRATIONS, "ALTER TABLE {s}.log ADD COLUMN extra text"))
    with pytest.raises(StorageError, match="version 1 of the event log, expected version 2"):
        PostgresEventLog(*postgres_schema, ACTIONS, read_only=True)
    together(open_one, open_one)
    with PostgresEventLog(*postgres_schema, ACTIONS, read_only=True) as log:
        assert items(log) == ["a"] * 5
        with pytest.raises(ReadOnly):
            log.append([seen("u", "a")])
    monkeypatch.undo()
    with pytest.raises(StorageError, match="newer version of slatewise"):
        PostgresEventLog(*postgres_schema, ACTIONS)


@pytest.mark.parametrize(
    ("url", "schema", "wrong"),
    [
        ("mysql://me:hush@db/x", "slatewise", "storage.url"),
        ("postgresql://me:hush@db:port/x", "slatewise", "storage.url"),
        ("postgresql://me:hu/hush@db/x", "slatewise", "%2F"),
        ("postgresql://me:hush@db/x?nonsense=1", "slatewise", "storage.url"),
        ("postgresql://me:hush@db/x", 'a"; DROP TABLE x', "storage.schema"),
    ],
)
def test_settings_that_cannot_be_right_are_refused_without_showing_a_password(
    require: object, url: str, schema: str, wrong: str
) -> None:
    require("psycopg")  # type: ignore[operator]
    with pytest.raises(ConfigError, match=wrong) as told:
        PostgresEventLog(url, schema, ACTIONS)
    assert "hush" not in str(told.value)


def test_an_undeclared_action_in_the_log_is_named(postgres_schema: tuple[str, str]) -> None:
    with PostgresEventLog(*postgres_schema, ACTIONS) as log:
        log.append([seen("u", "a", "buy")])
    with pytest.raises(ConfigError, match="'buy'"):
        PostgresEventLog(*postgres_schema, ("view",))


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ("DELETE FROM {s}.user_ids WHERE row = 0", ["user_ids: 1 rows, the newest is 1, head says 2", "log, offset 1"]),
        ("UPDATE {s}.head SET items = 5", ["item_ids: 2 rows, the newest is 1, head says 5"]),
        ("DELETE FROM {s}.log WHERE place = 2", ["head: says 2, the newest event has offset 1"]),
    ],
)
def test_tables_that_do_not_fit_together_are_told(
    log: PostgresEventLog, server: Connection, postgres_schema: tuple[str, str], harm: str, told: list[str]
) -> None:
    log.append([seen("u", "a"), seen("v", "b")])
    assert log.damage() == []
    server.execute(harm.format(s=postgres_schema[1]))
    found = log.damage()
    assert len(found) == len(told)
    assert all(line.startswith(begins) for line, begins in zip(found, told, strict=True))

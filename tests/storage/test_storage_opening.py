import sqlite3
from pathlib import Path

import pytest

from slatewise.domain.errors import ConfigError, StorageError
from slatewise.domain.events import Impression
from slatewise.storage.log import SqliteEventLog
from slatewise.testing.event_log import seen


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


def change(path: Path, statement: str) -> None:
    db = sqlite3.connect(path)
    db.execute(statement)
    db.commit()
    db.close()


def test_a_log_of_another_format_is_refused(path: Path) -> None:
    SqliteEventLog(path, ("view",)).close()
    change(path, "UPDATE meta SET value = '99' WHERE key = 'format'")
    with pytest.raises(StorageError, match=r"format 99.*format 1"):
        SqliteEventLog(path, ("view",))


def test_a_database_of_something_else_is_refused_and_left_alone(path: Path) -> None:
    change(path, "CREATE TABLE mine(x)")
    with pytest.raises(StorageError, match="not an event log"):
        SqliteEventLog(path, ("view",))
    db = sqlite3.connect(path)
    assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]
    db.close()


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("user_id,item_id\n" * 100)
    with pytest.raises(StorageError, match="not a database"):
        SqliteEventLog(path, ("view",))


def test_a_missing_folder_or_file_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot open"):
        SqliteEventLog(tmp_path / "nowhere" / "log.sqlite", ("view",))
    with pytest.raises(StorageError, match="cannot open"):
        SqliteEventLog(tmp_path / "log.sqlite", ("view",), read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_an_action_that_settings_no_longer_declare_is_named_at_opening(path: Path) -> None:
    with SqliteEventLog(path, ("view", "like", "unused")) as log:
        log.append([seen("u", "a", "like")])
    with pytest.raises(ConfigError, match="'like'"):
        SqliteEventLog(path, ("view",))
    SqliteEventLog(path, ("like",)).close()


def test_actions_keep_their_meaning_when_settings_reorder_them(path: Path) -> None:
    with SqliteEventLog(path, ("view", "like")) as log:
        log.append([seen("u", "a", "like"), seen("u", "b", "view")])
    with SqliteEventLog(path, ("buy", "like", "view")) as log:
        assert log.interactions().action.tolist() == [1, 2]
        assert [s.event.action for s in log.read()] == ["like", "view"]  # type: ignore[union-attr]


def test_a_closed_log_cannot_be_read(path: Path) -> None:
    log = SqliteEventLog(path, ("view",))
    log.close()
    with pytest.raises(StorageError, match="closed"):
        list(log.read())


def test_offsets_are_never_used_twice(path: Path) -> None:
    with SqliteEventLog(path, ("view",)) as log:
        log.append([seen("u", "a"), seen("u", "b")])
    change(path, "DELETE FROM log WHERE offset = 2")
    with SqliteEventLog(path, ("view",)) as log:
        assert log.end == 3
        assert log.append([seen("u", "c")]).version == 4
        assert [s.offset for s in log.read()] == [1, 3]


def test_impressions_from_before_propensities_were_kept_still_read(path: Path) -> None:
    shown = Impression(at=5.0, user_id="u", request_id="r", shown=("a", "b"), propensity=(1.0, 0.9), explored_from=0)
    with SqliteEventLog(path, ("view",)) as log:
        log.append([seen("u", "a"), shown])
    # The body as it was written then, word for word.
    before = '{"at":5.0,"user_id":"u","request_id":"r","shown":["a","b"]}'
    change(path, f"UPDATE log SET body = '{before}', sum = NULL WHERE body LIKE '%shown%'")
    with SqliteEventLog(path, ("view",)) as log:
        log.append([shown])
        old, new = (impression for _, impression in log.impressions())
        assert [event for event in (s.event for s in log.read()) if isinstance(event, Impression)] == [old, new]
    assert old == Impression(at=5.0, user_id="u", request_id="r", shown=("a", "b"))
    assert (old.propensity, old.explored_from) == (None, 0)
    assert new == shown


def test_impressions_from_before_contexts_were_logged_still_read(path: Path) -> None:
    shown = Impression(at=5.0, user_id="u", request_id="r", shown=("a",), propensity=(1.0,), context={"device": "app"})
    with SqliteEventLog(path, ("view",)) as log:
        log.append([shown])
    # The body as it was written then, word for word.
    before = '{"at":5.0,"user_id":"u","request_id":"r","shown":["a"],"propensity":[1.0],"explored_from":0}'
    change(path, f"UPDATE log SET body = '{before}', sum = NULL WHERE body LIKE '%shown%'")
    with SqliteEventLog(path, ("view",)) as log:
        log.append([shown])
        old, new = (impression for _, impression in log.impressions())
    assert old == Impression(at=5.0, user_id="u", request_id="r", shown=("a",), propensity=(1.0,))
    assert old.context == {}
    assert new == shown

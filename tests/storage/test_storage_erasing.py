"""What erasing one user does to the log file, and what it leaves alone."""

import json
import random
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import pytest

from slatewise.domain.errors import NotFound, StorageError
from slatewise.domain.events import Event, Impression, Interaction, Stored, UserChange
from slatewise.domain.settings import Settings
from slatewise.storage import exporting, schema
from slatewise.storage import log as log_module
from slatewise.storage.catalogue import LiveCatalogue
from slatewise.storage.digests import folded_digests, stored_digests
from slatewise.storage.erasing import Shown, is_placeholder
from slatewise.storage.exporting import export_user
from slatewise.storage.log import SqliteEventLog
from slatewise.storage.users import LiveUsers
from slatewise.storage.verifying import verify_log

ACTIONS = Settings().action_names


def opened(path: Path) -> SqliteEventLog:
    return SqliteEventLog(path / "log.sqlite", ACTIONS)


def clicked(user: str, item: str, at: float = 1.0, event_id: str | None = None) -> Interaction:
    return Interaction(user_id=user, item_id=item, action="click", at=at, event_id=event_id)


def of_others(log: SqliteEventLog, *users: str) -> list[Stored]:
    return [s for s in log.read() if not any(name in users or is_placeholder(name) for name in [_user(s.event)])]


def _user(event: Event) -> str:
    return getattr(event, "user_id", "")


@pytest.mark.parametrize("seed", range(4))
def test_other_users_events_offsets_and_rows_stay_as_they_are(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with opened(tmp_path) as log:
        for step in range(60):
            user, item = f"u{chance.randrange(6)}", f"i{chance.randrange(12)}"
            batch: Sequence[Event] = chance.choice(
                [
                    [clicked(user, item, step, f"e{step}"), clicked("u0", f"i{step}")],
                    [Impression(at=step, user_id=user, request_id=f"r{step}", shown=(item,))],
                    [UserChange(at=step, user_id=user, attributes={"x": step})],
                ]
            )
            log.append(batch)
        before = of_others(log, "u0", "u3")
        for user in ("u0", "u3"):
            assert log.erase_user(user, 100.0) is not None
        log.compact()
        assert log.empty()
        assert of_others(log, "u0", "u3") == before
        left = [s for s in log.read() if is_placeholder(_user(s.event)) and isinstance(s.event, Interaction)]
        assert all(s.event.at is None and s.event.event_id is None for s in left)  # type: ignore[union-attr]
        assert not set(log.interactions().user) & {s.user for s in left}
        assert stored_digests(log, Settings()) == folded_digests(log, Settings())
    assert verify_log(tmp_path / "log.sqlite").damage == []


def test_followers_who_meet_the_erased_events_late_give_rows_as_the_others_did(tmp_path: Path) -> None:
    with opened(tmp_path) as log, opened(tmp_path) as elsewhere:
        late, users = LiveCatalogue(), LiveUsers(elsewhere, Settings().storage, ())
        log.append([clicked("gone", "a"), clicked("gone", "b"), clicked("stays", "c"), clicked("gone", "c")])
        users.follow(list(elsewhere.read()))
        assert users.knows("gone")
        log.erase_user("gone", 2.0)
        log.append([clicked("stays", "d")])
        late.follow(list(elsewhere.read()))
        users.follow(list(elsewhere.read(users.followed)))
        known = LiveCatalogue.load(log)
        assert [late.row(item) for item in "abcd"] == [known.row(item) for item in "abcd"] == [0, 1, 2, 3]
        assert not users.knows("gone")
        assert "gone" not in users._cache
        assert users.knows("stays")


def test_a_writer_that_remembers_the_row_gives_who_comes_back_another(tmp_path: Path) -> None:
    with opened(tmp_path) as log, opened(tmp_path) as elsewhere:
        elsewhere.append([clicked("u", "a", 1.0, "first")])
        log.append([clicked("u", "a", 2.0)])
        assert log.erase_user("u", 3.0) is not None
        for again in (elsewhere, log):
            again.append([clicked("u", "a", 4.0)])
        assert elsewhere.append([clicked("u", "a", 5.0, "first")]).duplicates == 0
        assert log.interactions().user.tolist() == [1, 1, 1]
        assert log.erase_user("nobody", 3.0) is None


def test_a_slate_shown_while_the_others_were_looked_for_goes_too(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        shown = [Impression(at=n, user_id="u", request_id=f"r{n}", shown=("a",)) for n in range(3)]
        log.append([clicked("u", "a"), *shown[:2]])
        look = log_module.find_shown

        def then_one_more(db: sqlite3.Connection, user_id: str) -> Shown:
            found = look(db, user_id)
            log.append(shown[2:])
            return found

        with patch.object(log_module, "find_shown", then_one_more):
            erased = log.erase_user("u", 5.0)
        assert erased is not None
        assert erased.impressions == 3
        assert not any(isinstance(stored.event, Impression) for stored in log.read())


def names(file: Path, ids: Sequence[str]) -> int:
    content = file.read_bytes()
    return sum(name.encode() in content for name in ids)


def shuffled(log: SqliteEventLog) -> list[str]:
    """Record users whose names come in at random places of the index, so that its pages split and rows move."""
    ids = [f"user-{random.Random(n).getrandbits(64):016x}" for n in range(6_000)]
    for lo in range(0, len(ids), 60):
        log.append([clicked(name, "a", 1.0, f"event of {name}") for name in ids[lo : lo + 60]])
    return ids[::400]


@pytest.mark.parametrize("is_twin", [False, True], ids=["", "twin"])
def test_copies_that_moving_rows_left_behind_are_gone_too(tmp_path: Path, is_twin: bool) -> None:
    # As release 0.1 wrote: without zeros. Some builds of SQLite write them by default.
    no_zeros = patch.object(schema, "secure", lambda db: db.execute("PRAGMA secure_delete = OFF"))
    with no_zeros, opened(tmp_path) as log:
        gone = shuffled(log)
    with opened(tmp_path) as log:
        for name in gone:
            log.erase_user(name, 2.0)
        if not is_twin:
            log.compact()
        assert log.empty()
        assert (names(log.path, gone) > 0) == is_twin
        assert log.append([clicked("u", "a")]).accepted == 1
        with log.borrow() as db:
            assert schema.has_shape(db)
    assert verify_log(tmp_path / "log.sqlite").damage == []


def test_an_export_holds_everything_in_parts_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "PAGE", 7)
    with opened(tmp_path) as log:
        done = [clicked("ü/1", f"i{n}", float(n), f"e{n}") for n in range(30)]
        log.append([*done, clicked("other", "i1", 1.0, "secret of another")])
        log.append([UserChange(at=n, user_id="ü/1", attributes={"n": n, "v": (0.5, 1.0)}) for n in (1.0, 2.0)])
        log.append([Impression(at=3.0, user_id="ü/1", request_id="r", shown=("i1", "i2"), context={"s": "web"})])
        log.append([Impression(at=3.0, user_id="other", request_id="secret of another", shown=("i1",))])
        parts = list(export_user(log, "ü/1"))
        assert max(map(len, parts)) < 1_000
        told = json.loads(b"".join(parts))
        assert told.pop("user_id") == "ü/1"
        assert told.pop("attributes") == {"n": 2.0, "v": [0.5, 1.0]}
        assert [c["timestamp"] for c in told.pop("changes")] == [1.0, 2.0]
        assert [(i["item_id"], i["timestamp"], i["event_id"]) for i in told.pop("interactions")] == [
            (e.item_id, e.at, e.event_id) for e in done
        ]
        (shown,) = told.pop("impressions")
        assert (shown["shown"], shown["context"], shown["timestamp"]) == (["i1", "i2"], {"s": "web"}, 3.0)
        assert told == {}
        with pytest.raises(NotFound):
            export_user(log, "nobody")


def test_a_log_open_for_reading_erases_nobody(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.append([clicked("u", "a")])
    with (
        SqliteEventLog(tmp_path / "log.sqlite", ACTIONS, read_only=True) as log,
        pytest.raises(StorageError, match="reading only"),
    ):
        log.erase_user("u", 1.0)

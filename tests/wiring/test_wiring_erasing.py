"""Erasure down to the bytes: a user who did a bit of everything is looked for in every file, in every form."""

import base64
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import slatewise
from slatewise.domain.errors import InputError, NotFound, StorageError
from slatewise.domain.events import Impression, Interaction, UserChange
from slatewise.domain.settings import Settings
from slatewise.storage import schema
from slatewise.storage.log import SqliteEventLog
from slatewise.testing.worlds import batched, walkers
from slatewise.wiring import backup_job, erasing
from slatewise.wiring.backup_job import back_up, restore
from slatewise.wiring.home import Home
from slatewise.wiring.ledger import FILES, LEDGER, Ledger
from slatewise.wiring.verify_job import rebuild_home, verify_home

CANARY = "canary-7f3e9b21"
TASTE = "taste-of-canary-c0ffee"
SURFACE = "surface-of-canary-5eed"
SPECTRAL = {"training.deep": "off", "training.dim": 16}


class Lived:
    """A HOME in which the canary did everything, a backup of it, and what to look for."""

    def __init__(self, path: Path) -> None:
        self.home, self.archive = path / "home", path / "before.tar"
        items, users, events = walkers()
        requests = []
        with slatewise.open(self.home, settings=SPECTRAL) as home:
            home.put_items(items)
            home.put_users([*users, UserChange(at=1.0, user_id=CANARY, attributes={"taste": TASTE})])
            for batch in batched(events, 1000):
                home.record(batch)
            # Names come in at random places of the indexes, so that pages split and rows move.
            for step in range(60):
                others = [
                    Interaction(user_id=f"u-{hash((step, n)) & 0xFFFFFF:x}", item_id="c1-1", action="click", at=9e5)
                    for n in range(40)
                ]
                mine = Interaction(
                    user_id=CANARY, item_id=f"c2-{step % 9}", action="click", at=1e6 + step, event_id=f"{CANARY}/{step}"
                )
                home.record([*others, mine])
            bad = path / "bad.csv"
            bad.write_text(f"user_id,item_id,action,timestamp\n{CANARY},c1-1,click,{TASTE}\nu1,c1-1,click,never\n")
            home.import_data(bad)
            home.record(user_id=CANARY, item_id="only-the-canary-knows", action="click")
            home.train()
            for _ in range(4):
                answer = home.recommend(CANARY, size=5, context={"surface": SURFACE})
                requests.append(answer.request_id)
                home.record(user_id=CANARY, item_id=answer.items[0].item_id, action="click", request_id=requests[-1])
            assert home._impressions.flush()
            state = home._users.state(CANARY)
            vector = home._engine.current().live.encode_user(state.history, state.attributes, {})
            assert vector is not None
            self.vector = vector.astype("<f4").tobytes()
            self.log_hash = hashlib.blake2b(
                CANARY.encode(), digest_size=8, key=hashlib.blake2b(home.settings.http.log_key.encode()).digest()
            ).hexdigest()
        back_up(self.home, self.archive, home.clock)
        self.words = [CANARY, TASTE, SURFACE, *requests]

    def needles(self) -> dict[str, bytes]:
        secret = bytes.fromhex((self.home / "secret").read_text())
        found = {"vector": self.vector[:16], "log hash": self.log_hash.encode()}
        for word in self.words:
            raw = word.encode()
            if not word.startswith((CANARY, TASTE)):
                found[f"{word} raw"] = raw
                continue
            found |= {f"{word} raw": raw, f"{word} hex": raw.hex().encode(), f"{word} wide": word.encode("utf-16-le")}
            for shift in range(3):
                # In the middle of a longer text, the ends of its base64 depend on what stands beside it.
                found[f"{word} base64+{shift}"] = base64.b64encode(b"\0" * shift + raw)[4 : len(raw) * 4 // 3 - 4]
            for name in ("md5", "sha1", "sha256", "blake2b"):
                digest = hashlib.new(name, raw).digest()
                found |= {f"{word} {name}": digest[:16], f"{word} {name} hex": digest.hex()[:32].encode()}
            keyed = hashlib.blake2b(raw, digest_size=16, key=secret)
            found |= {f"{word} keyed": keyed.digest(), f"{word} keyed hex": keyed.hexdigest().encode()}
        return found

    def hits(self, folder: Path) -> list[str]:
        needles = self.needles()
        return [
            f"{path.relative_to(folder)}: {name}"
            for path in sorted(folder.rglob("*"))
            if path.is_file()
            for content in [path.read_bytes()]
            for name, needle in needles.items()
            if needle in content
        ]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    return Lived(tmp_path_factory.mktemp("lived"))


@pytest.fixture
def path(lived: Lived, tmp_path: Path) -> Path:
    return Path(shutil.copytree(lived.home, tmp_path / "home"))


def life_after(lived: Lived, path: Path) -> Iterator[str]:
    """Erase, ask on, start again, compact, restore the backup from before; yield what is found, and when."""
    with Home(path, settings=SPECTRAL) as home:
        home.recommend(CANARY)
        home.delete_user(CANARY)
        yield from (f"erased {hit}" for hit in lived.hits(path))
        home.recommend("u1")
        home.record(user_id="u1", item_id="c1-1", action="click")
    with Home(path, settings=SPECTRAL):
        yield from (f"restarted {hit}" for hit in lived.hits(path))
    rebuild_home(path, Settings())
    yield from (f"compacted {hit}" for hit in lived.hits(path))
    restored = path.with_name("restored")
    restore(lived.archive, restored, path / LEDGER)
    yield from (f"restored {hit}" for hit in lived.hits(restored))
    for folder in (path, restored):
        assert [what for finding in verify_home(folder, Settings()) for what in finding.damage] == []


def test_nothing_of_an_erased_user_is_in_any_file_and_no_backup_brings_it_back(lived: Lived, path: Path) -> None:
    before = lived.hits(path)
    assert {hit.split(":")[0].split("/")[0] for hit in before} >= {"log.sqlite", "rejects"}
    assert all(any(word in hit for hit in before) for word in lived.words), before
    assert list(life_after(lived, path)) == []
    assert "u1,c1-1" in next(path.glob("rejects/*.csv")).read_text()


@contextmanager
def no_zeros() -> Iterator[None]:
    no_zeros = patch.object(schema, "secure", lambda db: db.execute("PRAGMA secure_delete = OFF"))
    with no_zeros, patch.object(schema, "compact"):
        yield


TWINS: dict[str, tuple[Callable[[], AbstractContextManager[object]], str]] = {
    "deleted rows keep their bytes": (no_zeros, "erased log.sqlite"),
    "the write-ahead log stays": (
        lambda: patch.object(SqliteEventLog, "empty", lambda self: True),
        "erased log.sqlite",
    ),
    "rejects stay": (lambda: patch.object(erasing, "forget_rejects", lambda *_: 0), "erased rejects"),
    "a backup knows no ledger": (lambda: patch.object(backup_job, "_erase", lambda *_: 0), "restored log.sqlite"),
}


@pytest.mark.parametrize("twin", TWINS)
def test_each_fault_put_in_on_purpose_is_found(lived: Lived, path: Path, twin: str) -> None:
    broken, where = TWINS[twin]
    with broken():
        found = next(life_after(lived, path), "nothing")
    assert where in found


def test_the_receipt_says_what_is_gone_and_what_may_still_carry_a_trace(lived: Lived, path: Path) -> None:
    with Home(path, settings=SPECTRAL) as home:
        bundle = home.live_bundle
        exported = json.loads(b"".join(home.export_user(CANARY)))
        erased = home.delete_user(CANARY)
        assert (erased.interactions, erased.impressions) == (65, 4)
        assert (len(exported["interactions"]), len(exported["impressions"])) == (65, 4)
        assert exported["attributes"] == {"taste": TASTE} == exported["changes"][0]["attributes"]
        assert exported["interactions"][0]["event_id"] == f"{CANARY}/0"
        assert exported["impressions"][0]["context"] == {"surface": SURFACE}
        assert (erased.changes, erased.rejects, erased.bundles) == (1, 1, (bundle,))
        assert erased.version == home.version
        (entry,) = Ledger(path).entries()
        assert (entry.entry, entry.at) == (erased.entry, erased.at)
        for ask in (home.user, home.delete_user, home.export_user):
            with pytest.raises(NotFound):
                ask(CANARY)


def kept(home: Home) -> list[Any]:
    return list(home._answering.repeats._kept or ())


def test_an_erased_user_who_comes_back_is_a_stranger_and_stays(lived: Lived, path: Path) -> None:
    with Home(path, settings=SPECTRAL) as home, Home(path, settings=SPECTRAL) as other:
        for opened in (home, other):
            opened.record(user_id=CANARY, item_id="c1-1", action="click")
            for _ in range(4):  # from the third time on, repeats keep it
                opened.recommend(CANARY)
            assert any(key[0] == CANARY for key in kept(opened))
        home.delete_user(CANARY)
        for opened in (home, other):
            opened.recommend("u1")
            assert not any(key[0] == CANARY for key in kept(opened))
            again = [(i.item_id, i.score) for i in opened.recommend(CANARY, size=20).items]
            assert CANARY not in opened._users._cache
            assert again == [(i.item_id, i.score) for i in opened.recommend("never-seen", size=20).items]
        # A process that remembers the row must not give it out again.
        other.record(user_id=CANARY, item_id="c1-1", action="click")
        assert home.user(CANARY).attributes == {}
        assert len(home._users.state(CANARY).history) == 1
        assert home._impressions.flush()
        assert other._impressions.flush()
    back_up(path, path.with_name("later.tar"), home.clock)
    restore(path.with_name("later.tar"), path.with_name("restored"), path)
    with Home(path.with_name("restored"), settings=SPECTRAL) as home:
        assert len(home._users.state(CANARY).history) == 1
        assert home.train().bundle == home.live_bundle
        home.delete_user(CANARY)
    assert [h for h in lived.hits(path.with_name("restored")) if CANARY in h] == []


def test_what_a_crash_interrupted_is_finished_when_the_home_is_opened(lived: Lived, path: Path) -> None:
    with Home(path, settings=SPECTRAL) as home:
        cut_off = patch.object(SqliteEventLog, "erase_user", side_effect=StorageError("cut off"))
        with cut_off, pytest.raises(StorageError, match="cut off"):
            home.delete_user(CANARY)
        assert home._users.knows(CANARY)
    with Home(path, settings=SPECTRAL) as home:
        assert not home._users.knows(CANARY)
        assert Ledger(path).open_entries() == []
    assert lived.hits(path) == []


def test_a_slate_written_down_after_the_erasure_does_not_bring_the_user_back(lived: Lived, path: Path) -> None:
    erase = SqliteEventLog.erase_user

    def late(log: SqliteEventLog, user_id: str, at: float) -> object:
        erased = erase(log, user_id, at)
        if not written:
            written.append(log.append([Impression(at=at, user_id=user_id, request_id="late", shown=("c1-1",))]))
        return erased

    written: list[object] = []
    with Home(path, settings=SPECTRAL) as home:
        with patch.object(SqliteEventLog, "erase_user", late):
            assert home.delete_user(CANARY).impressions == 5
        assert len(written) == 1
    assert lived.hits(path) == []


def test_a_reader_in_the_way_is_told_of_and_asking_again_ends_it(
    lived: Lived, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "WAIT_S", 0.1)
    with Home(path, settings=SPECTRAL) as home:
        with home._log.borrow() as db:
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM log").fetchone()
            with pytest.raises(StorageError, match="ask again"):
                home.delete_user(CANARY)
            db.execute("ROLLBACK")
        assert not home._users.knows(CANARY)
        assert home.delete_user(CANARY).interactions == 0
        assert lived.hits(path) == []


def test_a_ledger_left_in_the_folder_is_applied_and_one_of_another_home_is_refused(
    lived: Lived, path: Path, tmp_path: Path
) -> None:
    with Home(path, settings=SPECTRAL) as home:
        home.delete_user(CANARY)
        clock = home.clock
    back_up(path, tmp_path / "after.tar", clock)
    for left in path.iterdir():
        if left.name not in FILES:
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    assert restore(lived.archive, path).erased == 1
    assert lived.hits(path) == []
    assert not list(tmp_path.glob(".home-*"))
    with slatewise.open(tmp_path / "other") as other:
        other.record(user_id="x", item_id="i", action="click")
        other.delete_user("x")
    with pytest.raises(InputError, match="the HOME that the backup was made of"):
        restore(tmp_path / "after.tar", tmp_path / "third", tmp_path / "other")
    assert restore(tmp_path / "after.tar", tmp_path / "third").erased == 0


def test_a_damaged_ledger_is_refused_and_a_torn_line_is_not(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    entry = ledger.begin("u", 1.0)
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole + b'{"entry":"to')
    assert ledger.open_entries() == [entry]
    ledger.done(entry)
    assert (ledger.entries(), ledger.open_entries()) == ([entry], [])
    ledger.path.write_bytes(whole.replace(entry.user[:4].encode(), b"0bad"))
    with pytest.raises(StorageError, match="line 1"):
        ledger.entries()
    ledger.path.write_bytes(whole)
    (tmp_path / "erasures.key").unlink()
    with pytest.raises(StorageError, match=r"erasures\.key is missing"):
        ledger.matching(["u"])


@pytest.mark.parametrize("is_twin", [False, True], ids=["", "twin"])
def test_copies_that_earlier_erasures_left_of_a_user_are_gone_too(tmp_path: Path, is_twin: bool) -> None:
    """Deleting rows merges pages, and the rows beside them move: theirs are the copies that stay, zeros or not."""
    users = [f"user-{hashlib.sha256(bytes([n, 0])).hexdigest()[:16]}" for n in range(12)]
    with slatewise.open(tmp_path / "home") as home:
        home.record([clicked(f"u{n % 100}", n, f"w{n}") for n in range(5_000)])
        for step in range(40):
            home.record([clicked(user, step, f"{user}/{step}") for user in users])
        with patch.object(schema, "compact") if is_twin else nullcontext():
            for user in users:
                home.delete_user(user)
        content = home.folders.log.read_bytes()
        assert any(user.encode() in content for user in users) == is_twin


def clicked(user: str, step: int, event_id: str) -> Interaction:
    return Interaction(
        user_id=user, item_id=f"c{step % 4}-{step % 9}", action="click", at=1e6 + step, event_id=event_id
    )

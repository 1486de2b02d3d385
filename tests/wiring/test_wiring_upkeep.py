"""A HOME that is upgraded, checked, rebuilt, backed up and restored. It is the one that release 0.1 wrote."""

import io
import json
import shutil
import sqlite3
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from slatewise.domain.errors import BundleError, InputError, StorageError
from slatewise.domain.events import Interaction
from slatewise.domain.settings import Settings
from slatewise.storage.archive import MANIFEST, Contents, Member, pack, unpack
from slatewise.storage.digests import folded_digests, stored_digests
from slatewise.storage.verifying import verify_log
from slatewise.telemetry.clock import SystemClock
from slatewise.wiring.backup_job import back_up, restore
from slatewise.wiring.home import Home
from slatewise.wiring.verify_job import rebuild_home, verify_home

FIXTURE = Path(__file__).parents[1] / "fixtures" / "home-0.1.tar.xz"


def unpacked(folder: Path) -> Path:
    with tarfile.open(FIXTURE) as packed:
        packed.extractall(folder, filter="data")
    return folder / "home"


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = unpacked(tmp_path_factory.mktemp("upgraded"))
    Home(path).close()
    return path


@pytest.fixture
def path(upgraded: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(upgraded, tmp_path / "home"))


@pytest.fixture(scope="module")
def once_rebuilt(upgraded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = Path(shutil.copytree(upgraded, tmp_path_factory.mktemp("rebuilt") / "home"))
    rebuild_home(path, Settings())
    return path


@pytest.fixture
def sealed(once_rebuilt: Path, tmp_path: Path) -> Path:
    """A copy with a checksum on every row, that a test may change."""
    return Path(shutil.copytree(once_rebuilt, tmp_path / "home"))


def change(path: Path, statement: str, *values: object) -> None:
    db = sqlite3.connect(path / "log.sqlite")
    db.execute(statement, values)
    db.commit()
    db.close()


def damage(path: Path) -> list[str]:
    return [what for finding in verify_home(path, Settings()) for what in finding.damage]


def test_a_home_of_release_0_1_opens_and_answers_as_it_did(tmp_path: Path) -> None:
    path = unpacked(tmp_path)
    told = json.loads((path / "told.json").read_text())
    for _ in range(2):
        with Home(path) as home:
            assert home.version >= told["version"]
            assert home.live_bundle == told["bundle"]
            assert len(home.catalogue) == told["items"]
            assert [item.item_id for item in home.recommend("u1", size=10).items] == told["u1"]
            assert home.record(user_id="late", item_id="c1-1", action="click", event_id="late-1").duplicates == 1


def test_a_sound_home_has_nothing_to_find_and_says_what_has_no_checksum_yet(upgraded: Path) -> None:
    with Home(upgraded) as home:
        found = list(verify_home(upgraded, home.settings))
    assert [finding.name for finding in found] == ["log rows", "stores", "bundle"]
    assert not any(finding.damage for finding in found)
    assert "rows from before checksums" in found[0].detail


def test_a_rebuilt_log_has_equal_digests_and_a_checksum_on_every_row(path: Path) -> None:
    with Home(path) as home:
        settings = home.settings
        before, folded = stored_digests(home._log, settings), folded_digests(home._log, settings)
        end = home._log.end
    rebuilt, digests = rebuild_home(path, settings)
    assert before == folded == digests
    assert rebuilt.sealed > rebuilt.events > 3000
    assert rebuilt.lost == 0
    with Home(path) as home:
        assert home._log.end == end
        assert stored_digests(home._log, settings) == digests
        assert "before checksums" not in next(iter(verify_home(path, settings))).detail
    assert not list(path.glob("*rebuilt*"))


def test_a_log_that_somebody_has_open_is_not_rebuilt(path: Path) -> None:
    with Home(path) as home, pytest.raises(StorageError, match="stop the server first"):
        rebuild_home(path, home.settings)


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("UPDATE log SET value = value + 1 WHERE offset = 2000", "log, offset 2000: is not as it was written"),
        ("UPDATE user_ids SET id = 'somebody' WHERE row = 3", "user_ids, row 3: is not as it was written"),
        ("UPDATE item_ids SET first = 7 WHERE row = 3", "item_ids, row 3: is not as it was written"),
        ("DELETE FROM item_ids WHERE row = 3", "item_ids, row 3: is missing"),
        ("UPDATE log SET item = 99999, sum = NULL WHERE offset = 2000", "offset 2000: refers to item_ids 99999"),
        ("UPDATE sqlite_sequence SET seq = 17", "were acknowledged, but the log ends at 18"),
        ("UPDATE sqlite_sequence SET seq = seq + 4096", "the newest event has offset"),
        ("DROP INDEX log_history", "the tables or indexes are not what they were made as"),
    ],
)
def test_damage_is_found_and_named(sealed: Path, statement: str, name: str) -> None:
    change(sealed, statement)
    found = damage(sealed)
    assert any(name in what for what in found), found


def test_a_store_that_does_not_say_what_the_events_say_is_found(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    monkeypatch.setattr(
        "slatewise.wiring.verify_job.stored_digests", lambda *_: {"events": "", "catalogue": "", "users": ""}
    )
    stores = [finding for finding in verify_home(path, settings) if finding.name == "stores"]
    assert [what.split(":")[0] for what in stores[0].damage] == ["events", "catalogue", "users"]
    with pytest.raises(StorageError, match="do not say what the events say"):
        rebuild_home(path, settings)


def test_damaged_events_are_given_up_only_when_told_to(sealed: Path) -> None:
    path, settings = sealed, Settings()
    end = verify_log(path / "log.sqlite").end
    change(path, "UPDATE log SET value = value + 1 WHERE offset IN (2000, 2001)")
    change(path, "UPDATE user_ids SET id = 'somebody' WHERE row = 3")
    whole = (path / "log.sqlite").read_bytes()
    with pytest.raises(StorageError, match=r"checksum.*--accept-loss"):
        rebuild_home(path, settings)
    assert (path / "log.sqlite").read_bytes() == whole
    rebuilt, _ = rebuild_home(path, settings, accept_loss=True)
    assert rebuilt.lost > 2
    assert damage(path) == []
    with Home(path) as home:
        assert home._log.end == end
        assert 2000 not in {stored.offset for stored in home._log.read()}


def test_a_changed_bundle_is_found(path: Path) -> None:
    file = next((path / "bundles").glob("*/item_vectors.npy"))
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    found = damage(path)
    assert any("item_vectors.npy" in what and "rollback" in what for what in found), found


def test_a_backup_taken_while_writing_is_one_moment_and_serves_the_same(path: Path, tmp_path: Path) -> None:
    with Home(path) as home:
        done = threading.Event()

        def write() -> None:
            for i in range(100_000):
                pair = [
                    Interaction(user_id=f"w{i}", item_id=item, action="click", at=1.0, event_id=f"{i}-{item}")
                    for item in ("c1-1", "c1-2")
                ]
                home.record(pair)
                if done.is_set():
                    return

        writing = threading.Thread(target=write)
        writing.start()
        try:
            reports = [back_up(path, tmp_path / f"b{i}.tar", home.clock) for i in range(2)]
        finally:
            done.set()
            writing.join()
        expected = [item.item_id for item in home.recommend("u1", size=10).items]
        for i, report in enumerate(reports):
            assert restore(tmp_path / f"b{i}.tar", tmp_path / f"r{i}").version == report.version
            with Home(tmp_path / f"r{i}") as restored:
                assert restored._log.end == report.version
                assert [item.item_id for item in restored.recommend("u1", size=10).items] == expected
                ids = [s.event.event_id for s in restored._log.read() if getattr(s.event, "event_id", None)]
                assert sum(i.endswith("-c1-1") for i in ids) == sum(i.endswith("-c1-2") for i in ids)
                assert list(restored._log.read(0, report.version)) == list(home._log.read(0, report.version))
    assert reports[0].bundles == 1


def test_backup_and_restore_overwrite_nothing(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "b.tar"
    back_up(path, target, SystemClock())
    with pytest.raises(InputError, match="does not exist yet"):
        back_up(path, target, SystemClock())
    with pytest.raises(InputError, match="does not exist yet, or holds only an erasure ledger"):
        restore(target, path)
    with pytest.raises(InputError, match="HOME"):
        back_up(tmp_path / "nothing", tmp_path / "c.tar", SystemClock())
    with pytest.raises(InputError, match="slatewise backup"):
        restore(tmp_path / "c.tar", tmp_path / "new")


def test_a_damaged_log_or_bundle_is_not_backed_up(path: Path, tmp_path: Path) -> None:
    change(path, "UPDATE log SET user = 99999 WHERE offset = 100")
    with pytest.raises(StorageError, match="offset 100"):
        back_up(path, tmp_path / "b.tar", SystemClock())
    next((path / "bundles").glob("*/card.md")).write_text("other")
    with pytest.raises(BundleError, match=r"card\.md"):
        back_up(path, tmp_path / "b.tar", SystemClock())
    assert [p.name for p in tmp_path.iterdir() if "b.tar" in p.name or "backup" in p.name] == []


def test_a_changed_or_cut_backup_is_not_restored_and_leaves_nothing(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "b.tar"
    back_up(path, target, SystemClock())
    whole = target.read_bytes()
    for place in range(700, len(whole), len(whole) // 10):
        target.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            restore(target, tmp_path / "new")
        except (StorageError, BundleError):
            assert not (tmp_path / "new").exists()
            continue
        # The flipped bit fell on padding or a field of the tar that nobody reads.
        with Home(tmp_path / "new") as one, Home(path) as other:
            assert stored_digests(one._log, one.settings) == stored_digests(other._log, other.settings)
        (tmp_path / "new").rename(tmp_path / f"same{place}")
    for cut in (0, 100, 600, len(whole) // 2, len(whole) - 15_000):
        target.write_bytes(whole[:cut])
        with pytest.raises(StorageError):
            restore(target, tmp_path / "new")
        assert not (tmp_path / "new").exists()
    assert not [p for p in tmp_path.iterdir() if "restoring" in p.name]


def with_member(name: str, make: Callable[[tarfile.TarInfo], None], listed: bool = True) -> bytes:
    """Return an archive of one file, whose tar header *make* changes."""
    written = io.BytesIO()
    content = b"escaped"
    member = Member(len(content), "6a8a58b9ad8a9d3a5ddaa1b5a5d9c9f3")
    files = {name: member} if listed else {}
    spelled = msgspec.json.encode(Contents(1, {}, files))
    with tarfile.open(fileobj=written, mode="w") as tar:
        for each, held in ((MANIFEST, spelled), (name, content)):
            info = tarfile.TarInfo(each)
            info.size = len(held)
            if each == name:
                make(info)
            tar.addfile(info, io.BytesIO(held))
    return written.getvalue()


def _plain(info: tarfile.TarInfo) -> None:
    pass


def _link(info: tarfile.TarInfo) -> None:
    info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc/passwd", 0


def _hard_link(info: tarfile.TarInfo) -> None:
    info.type, info.linkname, info.size = tarfile.LNKTYPE, "manifest.json", 0


@pytest.mark.parametrize(
    ("name", "make", "listed"),
    [
        ("../escaped", _plain, True),
        ("/tmp/escaped", _plain, True),
        ("bundles/../../escaped", _plain, True),
        ("bundles/20261129-124322-bb63d2/../../../escaped", _plain, True),
        ("C:\\escaped", _plain, True),
        ("escaped", _plain, True),
        (".bashrc", _plain, True),
        ("log.sqlite-wal", _plain, True),
        ("log.sqlite", _plain, False),
        ("log.sqlite", _link, True),
        ("log.sqlite", _hard_link, True),
        ("log.sqlite", _plain, True),  # its digest does not fit
    ],
)
def test_no_archive_reaches_outside_or_brings_what_is_no_part_of_a_home(
    name: str, make: Callable[[tarfile.TarInfo], None], listed: bool, tmp_path: Path
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    archive = inside / "evil.tar"
    archive.write_bytes(with_member(name, make, listed))
    with pytest.raises(StorageError):
        restore(archive, inside / "home")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["evil.tar", "inside"]
    assert not Path("/tmp/escaped").exists()


def test_an_archive_comes_back_as_it_was_packed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 3_000_000)
    (tmp_path / "b").write_bytes(b"")
    files = {"deep/er/a": tmp_path / "a", "ü": tmp_path / "b"}
    packed = pack(files, {"version": 7}, tmp_path / "p.tar")
    assert unpack(tmp_path / "p.tar", tmp_path / "out", lambda name: True) == packed
    assert (tmp_path / "out/deep/er/a").read_bytes() == b"x" * 3_000_000
    assert (tmp_path / "out/ü").read_bytes() == b""
    with pytest.raises(StorageError, match="unsafe"):
        pack({"../a": tmp_path / "a"}, {}, tmp_path / "q.tar")
    assert not (tmp_path / "q.tar").exists()

import os
import signal
import subprocess
import sys
import time

import pytest

from slatewise.bundles.manifest import seal
from slatewise.bundles.registry import FolderRegistry
from slatewise.domain.errors import BundleError, InputError, NotFound
from slatewise.testing.bundle_registry import DAY_ONE, BundleRegistryContract, sealed


class FixedClock:
    at = DAY_ONE

    def now(self):
        return self.at

    def elapsed_ms(self):
        return 0.0


class TestFolderRegistry(BundleRegistryContract):
    def make(self, root):
        return FolderRegistry(root, FixedClock())


@pytest.fixture
def registry(tmp_path):
    return FolderRegistry(tmp_path / "bundles", FixedClock())


def publish(registry, *numbers):
    bundles = []
    for number in numbers:
        folder = registry.staging()
        bundles.append(registry.publish(sealed(folder, number)))
    return bundles


def test_staging_is_gone_after_publishing(registry, tmp_path):
    (bundle,) = publish(registry, 1)
    assert sorted(os.listdir(tmp_path / "bundles")) == [".lock", bundle]


def test_the_same_bundle_published_twice_leaves_no_second_folder(registry, tmp_path):
    publish(registry, 1)
    (bundle,) = publish(registry, 1)
    assert sorted(os.listdir(tmp_path / "bundles")) == [".lock", bundle]


def test_rollback_goes_back_one_promotion_at_a_time(registry):
    a, b, c = publish(registry, 1, 2, 3)
    for bundle in (a, b, c):
        registry.promote(bundle)
    assert [registry.rollback(), registry.live()] == [b, b]
    assert [registry.rollback(), registry.live()] == [a, a]
    with pytest.raises(NotFound, match="roll back"):
        registry.rollback()
    assert registry.live() == a


def test_rollback_after_a_rollback_and_a_promotion_goes_to_where_it_left(registry):
    a, b, c = publish(registry, 1, 2, 3)
    registry.promote(a)
    registry.promote(b)
    registry.rollback()
    registry.promote(c)
    assert registry.rollback() == a


def test_promoting_an_older_bundle_by_hand_can_be_rolled_back_too(registry):
    a, b = publish(registry, 1, 2)
    for bundle in (a, b, a):
        registry.promote(bundle)
    assert registry.rollback() == b
    assert registry.rollback() == a


def test_promoting_the_live_bundle_again_adds_nothing_to_roll_back_to(registry):
    a, b = publish(registry, 1, 2)
    for bundle in (a, b, b, b):
        registry.promote(bundle)
    assert registry.rollback() == a


def test_rollback_needs_an_earlier_bundle(registry):
    with pytest.raises(NotFound):
        registry.rollback()
    registry.promote(*publish(registry, 1))
    with pytest.raises(NotFound):
        registry.rollback()


def test_rollback_skips_what_was_pruned(registry):
    a, b, c = publish(registry, 1, 2, 3)
    for bundle in (a, b, c):
        registry.promote(bundle)
    registry.promote(a)
    assert registry.prune(1) == [b]
    assert registry.rollback() == c
    assert registry.rollback() == a


def test_rollback_survives_a_crash_between_pointer_and_history(registry, tmp_path):
    a, b, c = publish(registry, 1, 2, 3)
    registry.promote(a)
    registry.promote(b)
    (tmp_path / "bundles" / "LIVE").write_text(c)
    assert registry.rollback() == b
    (tmp_path / "bundles" / "LIVE").write_text(a)
    with pytest.raises(NotFound):
        registry.rollback()


def test_a_history_line_cut_off_by_a_crash_is_ignored(registry, tmp_path):
    a, b, c = publish(registry, 1, 2, 3)
    registry.promote(a)
    registry.promote(b)
    with open(tmp_path / "bundles" / "HISTORY", "ab") as file:
        file.write(b'{"bundle":"2026')
    registry.promote(c)
    registry.promote(a)
    assert [registry.rollback(), registry.rollback(), registry.rollback()] == [c, b, a]


def test_a_pointer_to_nonsense_is_an_error_that_a_promotion_repairs(registry, tmp_path):
    (a,) = publish(registry, 1)
    for nonsense in (b"", b"../../etc", b"\xff\xfe"):
        (tmp_path / "bundles" / "LIVE").write_bytes(nonsense)
        with pytest.raises(BundleError, match="LIVE"):
            registry.live()
    registry.promote(a)
    assert registry.live() == a


def test_the_list_tells_what_is_live_newest_first(registry):
    a, b = publish(registry, 1, 2)
    registry.promote(a)
    newest, oldest = registry.all()
    assert (newest.id, newest.live, newest.created_at) == (b, False, DAY_ONE + 2)
    assert (oldest.id, oldest.live, oldest.bytes) == (a, True, 2 * 64 + 6)
    assert oldest.metrics == {"ranked/ndcg@10": 0.1}


def test_a_damaged_manifest_is_listed_as_damaged(registry, tmp_path):
    a, b = publish(registry, 1, 2)
    (tmp_path / "bundles" / b / "manifest.json").write_text("{")
    listed = {info.id: info.damage for info in registry.all()}
    assert listed[a] is None
    assert "manifest.json" in listed[b]


def test_a_bundle_under_another_bundles_name_is_refused(registry, tmp_path):
    a, b = publish(registry, 1, 2)
    os.rename(tmp_path / "bundles" / a, tmp_path / "a")
    os.rename(tmp_path / "bundles" / b, tmp_path / "bundles" / a)
    with pytest.raises(BundleError, match="belongs to"):
        registry.path(a)


def test_prune_keeps_the_newest_and_always_the_live_one(registry):
    a, b, c, d = publish(registry, 1, 2, 3, 4)
    registry.promote(b)
    assert registry.prune(2) == [a]
    assert registry.prune(0) == [d, c]
    assert [info.id for info in registry.all()] == [b]
    assert registry.path(b).is_dir()
    with pytest.raises(InputError, match="keep"):
        registry.prune(-1)


def test_leftovers_of_crashed_builds_are_swept_after_a_day_and_never_listed(tmp_path):
    clock = FixedClock()
    registry = FolderRegistry(tmp_path, clock)
    crashed = registry.staging()
    (crashed / "half.bin").write_bytes(b"x")
    (tmp_path / ".trash-20200101-000000-abcdef").mkdir()
    clock.at += 3_600
    young = registry.staging()
    assert crashed.exists()
    assert not (tmp_path / ".trash-20200101-000000-abcdef").exists()
    assert registry.all() == []
    clock.at += 86_400 + 1
    registry.staging()
    assert not crashed.exists()
    assert not young.exists()


PROMOTE_FOR_EVER = """
import itertools, sys
from pathlib import Path
from slatewise.bundles.registry import FolderRegistry
class Clock:
    def now(self): return 0.0
registry = FolderRegistry(Path(sys.argv[1]), Clock())
print("ready", flush=True)
for bundle in itertools.cycle(sys.argv[2:]):
    registry.promote(bundle)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_process_killed_while_promoting_leaves_a_valid_pointer_and_a_free_lock(registry, tmp_path):
    bundles = publish(registry, 1, 2)
    promoted = 0
    for turn in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", PROMOTE_FOR_EVER, str(tmp_path / "bundles"), *bundles], stdout=subprocess.PIPE
        )
        with child:
            assert child.stdout.readline() == b"ready\n"
            time.sleep(0.011 * (turn + 1))
            child.send_signal(signal.SIGKILL)
        assert child.returncode == -signal.SIGKILL
        promoted += registry.live() is not None
        if registry.live() is not None:
            registry.path(registry.live())
    assert promoted >= 6
    registry.promote(bundles[0])
    registry.promote(bundles[1])
    assert registry.rollback() == bundles[0]


def test_a_staging_folder_on_another_file_system_is_copied_in(registry, tmp_path, monkeypatch):
    folder = sealed(tmp_path / "far", 1)
    rename = os.rename

    def refuse_far(source, target):
        if str(source) == str(folder):
            raise OSError(18, "Invalid cross-device link")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse_far)
    bundle = registry.publish(folder)
    assert registry.path(bundle).is_dir()
    assert not folder.exists()


def test_a_bundle_can_be_sealed_where_it_was_staged_and_names_its_parent(registry):
    registry.promote(*publish(registry, 1))
    folder = registry.staging()
    (folder / "tower.bin").write_bytes(b"tower")
    manifest = seal(folder, created_at=DAY_ONE + 9, parent=registry.live())
    assert registry.publish(folder) == manifest.id
    assert manifest.parent == registry.live()

"""What every bundle registry must do, over the port alone. Real folders, real threads."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from slatewise.bundles.manifest import seal
from slatewise.domain.errors import BundleError, NotFound
from slatewise.ports.bundles import BundleRegistry

DAY_ONE = 1_795_000_000.0


def sealed(folder: Path, number: int) -> Path:
    """Return *folder* as a small sealed bundle, another one for each *number*."""
    (folder / "index").mkdir(parents=True)
    (folder / "tower.bin").write_bytes(bytes(range(64)) * (number + 1))
    (folder / "index" / "rows.npy").write_bytes(b"rows %d" % number)
    seal(folder, created_at=DAY_ONE + number, facts={"metrics": {"ranked": {"ndcg@10": 0.1 * number}}})
    return folder


class BundleRegistryContract:
    """Subclass and return a registry over *root*; two over one root stand for two processes."""

    def make(self, root: Path) -> BundleRegistry:
        raise NotImplementedError  # a suite that inherits these tests says how

    def published(self, tmp_path: Path, size: int) -> tuple[BundleRegistry, list[str]]:
        registry = self.make(tmp_path / "bundles")
        return registry, [registry.publish(sealed(tmp_path / f"build-{n}", n)) for n in range(size)]

    def test_nothing_is_live_at_first(self, tmp_path: Path) -> None:
        assert self.make(tmp_path / "bundles").live() is None

    def test_publishing_admits_a_bundle_and_does_not_make_it_live(self, tmp_path: Path) -> None:
        registry, (bundle,) = self.published(tmp_path, 1)
        assert registry.live() is None
        assert (registry.path(bundle) / "index" / "rows.npy").read_bytes() == b"rows 0"

    def test_publishing_the_same_bundle_again_keeps_one(self, tmp_path: Path) -> None:
        registry, (bundle,) = self.published(tmp_path, 1)
        assert registry.publish(sealed(tmp_path / "again", 0)) == bundle
        assert registry.path(bundle).is_dir()

    def test_a_folder_that_was_never_sealed_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "raw").mkdir()
        (tmp_path / "raw" / "tower.bin").write_bytes(b"x")
        with pytest.raises(BundleError, match=r"manifest\.json"):
            self.make(tmp_path / "bundles").publish(tmp_path / "raw")

    def test_a_folder_that_does_not_match_its_seal_is_refused_and_left_alone(self, tmp_path: Path) -> None:
        folder = sealed(tmp_path / "build", 1)
        (folder / "tower.bin").write_bytes(b"other")
        with pytest.raises(BundleError, match=r"tower\.bin"):
            self.make(tmp_path / "bundles").publish(folder)
        assert (folder / "tower.bin").read_bytes() == b"other"

    def test_promoting_moves_the_pointer_and_going_back_is_promoting(self, tmp_path: Path) -> None:
        registry, (first, second) = self.published(tmp_path, 2)
        for bundle in (first, second, first):
            registry.promote(bundle)
            assert registry.live() == bundle
            assert self.make(tmp_path / "bundles").live() == bundle

    @pytest.mark.parametrize("name", ["20200101-000000-abcdef", "", ".", "..", "../build-0", "/etc", "LIVE", "a\0b"])
    def test_an_unknown_bundle_is_not_found(self, tmp_path: Path, name: str) -> None:
        registry, (bundle,) = self.published(tmp_path, 1)
        registry.promote(bundle)
        with pytest.raises(NotFound):
            registry.path(name)
        with pytest.raises(NotFound):
            registry.promote(name)
        assert registry.live() == bundle

    def test_a_damaged_bundle_is_refused_and_the_live_one_stays(self, tmp_path: Path) -> None:
        registry, (first, second) = self.published(tmp_path, 2)
        registry.promote(first)
        with open(registry.path(second) / "tower.bin", "ab") as file:
            file.write(b"!")
        with pytest.raises(BundleError, match=r"tower\.bin"):
            registry.promote(second)
        with pytest.raises(BundleError, match=r"tower\.bin"):
            registry.path(second)
        assert registry.live() == first

    def test_concurrent_promotions_leave_one_valid_pointer(self, tmp_path: Path) -> None:
        registry, bundles = self.published(tmp_path, 4)
        registry.promote(bundles[0])
        done = threading.Event()
        seen: set[str | None] = set()

        def watch() -> None:
            own = self.make(tmp_path / "bundles")
            while not done.is_set():
                seen.add(own.live())

        def promote(bundle: str) -> None:
            own = self.make(tmp_path / "bundles")
            for _ in range(10):
                own.promote(bundle)

        watcher = threading.Thread(target=watch)
        watcher.start()
        writers = [threading.Thread(target=promote, args=(bundle,)) for bundle in bundles]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        done.set()
        watcher.join()
        assert seen <= set(bundles)
        live = registry.live()
        assert live in bundles
        assert registry.path(live).is_dir()

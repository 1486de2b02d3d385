"""Bundles side by side in one folder, and the pointer to the live one. Knows nothing of what a bundle holds."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slatewise.bundles.durable import append_line, locked, sync_folder, sync_tree, write_atomically
from slatewise.bundles.history import Promotion, read_promotions, standing
from slatewise.bundles.manifest import is_bundle_id, read_manifest, verify
from slatewise.domain.errors import BundleError, InputError, NotFound
from slatewise.ports.clock import Clock

LIVE, HISTORY, LOCK, PRESENCE = "LIVE", "HISTORY", ".lock", ".presence"
STAGING, TRASH = ".staging-", ".trash-"
ABANDONED_AFTER_S = 86_400.0
"""Age after which a staging folder is taken for the leftover of a crashed build."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleInfo:
    """One line of the list of bundles, read from the manifest alone."""

    id: str
    created_at: float
    live: bool
    bytes: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The numbers under the fact ``metrics``, nested names joined as in ``ranked/ndcg@10``."""
    damage: str | None = None
    """Why the manifest cannot be read; None where it can."""


class FolderRegistry:
    """Keeps each bundle in ``root/<id>``, the live id in ``root/LIVE`` and every promotion in ``root/HISTORY``.

    Safe for several threads and processes: writers take turns by a lock file, readers need none, and a process that
    is killed at any moment leaves the old live bundle or the new one.
    """

    def __init__(self, root: Path, clock: Clock) -> None:
        self._root = root
        self._pointer = str(root / LIVE)
        self._clock = clock
        root.mkdir(parents=True, exist_ok=True)

    def staging(self) -> Path:
        """Return a fresh, empty folder to build a bundle in: seal it, then `publish` moves it from there.

        Leftovers of builds that crashed more than a day ago are swept out on the way.
        """
        self._sweep()
        folder = self._root / f"{STAGING}{int(self._clock.now())}-{secrets.token_hex(6)}"
        folder.mkdir()
        return folder

    def publish(self, folder: Path) -> str:
        """Check every digest in the sealed *folder*, move it in and return its id. Does not make it live.

        The same bundle twice is kept once. Raises BundleError naming what does not match; *folder* stays then.
        """
        bundle = verify(folder).id
        with locked(self._root / LOCK):
            home = self._root / bundle
            if home.exists():
                verify(home)
                shutil.rmtree(folder)
            else:
                self._move(folder, home)
                sync_folder(self._root)
        return bundle

    def promote(self, bundle: str) -> None:
        """Point *live* at *bundle*, atomically, after checking all of it.

        Raises NotFound for an unknown id and BundleError for a damaged bundle; the live one stays then.
        """
        with locked(self._root / LOCK):
            self._promote(bundle, "promote")

    def rollback(self) -> str:
        """Promote the bundle that was live before, and return its id; once more goes back one further.

        Bundles that were pruned since are skipped. Raises NotFound where there is none left, BundleError where it is
        damaged.
        """
        with locked(self._root / LOCK):
            live = self.live()
            earlier = standing(read_promotions(self._root / HISTORY), live)[:-1]
            for bundle in reversed(earlier):
                if bundle != live and self._has(bundle):
                    self._promote(bundle, "rollback")
                    return bundle
        raise NotFound("no bundle was live before this one, so there is nothing to roll back to")

    def live(self) -> str | None:
        """Return the live id, None before the first promotion. Raises BundleError for a broken pointer."""
        try:
            bundle = (self._root / LIVE).read_text("ascii").strip()
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise BundleError(f"{LIVE} holds no bundle id: {error}") from error
        if not is_bundle_id(bundle):
            raise BundleError(f"{LIVE} holds {bundle[:40]!r}, which is no bundle id")
        return bundle

    def pointer(self) -> tuple[int, int]:
        """Return a stamp that differs after every promotion. Costs a microsecond or two: one look at one file."""
        try:
            found = os.stat(self._pointer)
        except FileNotFoundError:
            return (0, 0)
        return (found.st_ino, found.st_mtime_ns)

    @property
    def presence(self) -> Path:
        """The folder where processes that answer from these bundles say so, see ``bundles/presence.py``."""
        return self._root / PRESENCE

    def path(self, bundle: str) -> Path:
        """Return the bundle's folder after checking every digest. Raises NotFound or BundleError."""
        if not self._has(bundle):
            raise NotFound(f"there is no bundle {bundle[:40]!r}")
        folder = self._root / bundle
        found = verify(folder).id
        if found != bundle:
            raise BundleError(f"bundle {bundle}: its manifest belongs to {found}")
        return folder

    def all(self) -> list[BundleInfo]:
        """Return every bundle, newest first, without reading their files; damaged ones say so."""
        live = self.live()
        infos = [self._info(bundle, bundle == live) for bundle in self._ids()]
        return sorted(infos, key=lambda info: (info.created_at, info.id), reverse=True)

    def prune(self, keep: int) -> list[str]:
        """Delete all but the newest *keep* bundles and return the deleted ids; the live one is never deleted."""
        if keep < 0:
            raise InputError("keep", keep, "0 or more")
        with locked(self._root / LOCK):
            doomed = [info.id for info in self.all()[keep:] if not info.live]
            for bundle in doomed:
                # Renamed first, so that nobody meets a bundle that is half deleted.
                trash = self._root / f"{TRASH}{bundle}-{secrets.token_hex(6)}"
                os.rename(self._root / bundle, trash)
            sync_folder(self._root)
        self._sweep()
        return doomed

    def _promote(self, bundle: str, how: str) -> None:
        self.path(bundle)
        # The pointer first: `standing` repairs a history that lacks the last line, not one that runs ahead.
        write_atomically(self._root / LIVE, bundle.encode() + b"\n")
        append_line(self._root / HISTORY, Promotion(bundle=bundle, at=self._clock.now(), how=how).line())

    def _move(self, folder: Path, home: Path) -> None:
        try:
            os.rename(folder, home)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            near = self.staging()
            shutil.copytree(folder, near, symlinks=True, dirs_exist_ok=True)
            sync_tree(near)
            verify(near)
            os.rename(near, home)
            shutil.rmtree(folder)

    def _info(self, bundle: str, live: bool) -> BundleInfo:
        try:
            manifest = read_manifest(self._root / bundle)
        except BundleError as error:
            return BundleInfo(id=bundle, created_at=0.0, live=live, bytes=0, damage=str(error))
        metrics = _numbers(manifest.facts.get("metrics"))
        return BundleInfo(
            id=bundle, created_at=manifest.created_at, live=live, bytes=manifest.total_bytes, metrics=metrics
        )

    def _ids(self) -> list[str]:
        return [entry.name for entry in os.scandir(self._root) if is_bundle_id(entry.name) and entry.is_dir()]

    def _has(self, bundle: str) -> bool:
        folder = self._root / bundle
        return is_bundle_id(bundle) and folder.is_dir() and not folder.is_symlink()

    def _sweep(self) -> None:
        for entry in os.scandir(self._root):
            started = entry.name.removeprefix(STAGING).split("-")[0]
            abandoned = (
                entry.name.startswith(STAGING)
                and started.isdigit()
                and self._clock.now() - int(started) > ABANDONED_AFTER_S
            )
            if abandoned or entry.name.startswith(TRASH):
                shutil.rmtree(entry.path, ignore_errors=True)


def _numbers(value: object, prefix: str = "") -> dict[str, float]:
    if isinstance(value, dict):
        nested = (_numbers(inner, f"{prefix}/{name}" if prefix else str(name)) for name, inner in value.items())
        return {name: number for numbers in nested for name, number in numbers.items()}
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return {prefix: float(value)}
    return {}

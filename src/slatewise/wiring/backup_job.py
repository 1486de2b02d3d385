"""A HOME as one file, and back. The log is taken at one moment, while others write; published bundles never change."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from slatewise.bundles.durable import sync_folder, sync_tree
from slatewise.bundles.manifest import is_bundle_id, verify
from slatewise.bundles.registry import HISTORY, LIVE
from slatewise.domain.errors import BundleError, InputError, StorageError
from slatewise.ports.clock import Clock
from slatewise.storage.archive import pack, unpack
from slatewise.storage.mark import set_mark
from slatewise.storage.snapshot import snapshot
from slatewise.storage.verifying import verify_log
from slatewise.version import __version__
from slatewise.wiring.folders import Folders

TOP = frozenset({"slatewise.toml", "keys.json"})
"""Files of a HOME's top folder that belong to a backup, beside the log."""

_LOG = "log.sqlite"
_ALLOWED = re.compile(rf"{re.escape(_LOG)}|bundles/({LIVE}|{HISTORY})|bundles/[0-9]{{8}}-[0-9]{{6}}-[0-9a-f]{{6}}/.+")


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What a backup holds."""

    path: Path
    bytes: int
    version: int
    """The log version it reflects."""
    events: int
    bundles: int


def back_up(home: Path, target: Path, clock: Clock) -> BackupReport:
    """Write the HOME to the new file *target*, checked on the way; it appears only once it is whole and durable.

    Raises InputError where *target* exists or there is no HOME, StorageError and BundleError for damage.
    """
    folders = Folders(home)
    if not folders.log.exists():
        raise InputError("--home", str(home), "a HOME folder made by `slatewise import` or `slatewise demo`")
    if target.exists():
        raise InputError("target", str(target), "a file that does not exist yet")
    part = target.with_name(f".{target.name}-{secrets.token_hex(6)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".slatewise-backup-", dir=target.parent) as scratch:
            # Bundles first: one that is published later knows of events that the snapshot may lack.
            files = _bundle_files(folders.bundles, Path(scratch))
            bundles = sum(name.endswith("/manifest.json") for name in files)
            copy = Path(scratch) / _LOG
            taken = snapshot(folders.log, copy)
            files |= {_LOG: copy} | {name: home / name for name in TOP if (home / name).is_file()}
            facts = {"release": __version__, "version": taken.end, "events": taken.events, "at": clock.now()}
            pack(files, facts, part)
        os.replace(part, target)
        sync_folder(target.parent.absolute())
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return BackupReport(target, target.stat().st_size, taken.end, taken.events, bundles)


def restore(archive: Path, home: Path) -> BackupReport:
    """Make the new HOME *home* from a backup, after checking all of it. A failure leaves no folder behind.

    Raises InputError where *home* exists and is not empty, StorageError and BundleError for what does not match.
    """
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise InputError("--home", str(home), "a folder that does not exist yet, or is empty")
    if not archive.is_file():
        raise InputError("archive", str(archive), "a file made by `slatewise backup`")
    home = home.absolute()
    staging = home.with_name(f".{home.name}-restoring-{secrets.token_hex(6)}")
    try:
        staging.mkdir(parents=True)
        unpack(archive, staging, _is_ours)
        bundles = [path for path in (staging / "bundles").glob("*") if is_bundle_id(path.name)]
        for bundle in bundles:
            if verify(bundle).id != bundle.name:
                raise BundleError(f"bundle {bundle.name}: its manifest belongs to another")
        taken = verify_log(staging / _LOG)
        if taken.damages:
            raise StorageError(f"{archive}: {taken.damage[0]} ({taken.damages} in all)")
        set_mark(staging / _LOG, taken.end)
        sync_tree(staging)
        if home.exists():
            home.rmdir()
        os.rename(staging, home)
        sync_folder(home.parent)
    except OSError as error:
        raise StorageError(f"cannot restore {archive}: {error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return BackupReport(home, archive.stat().st_size, taken.end, taken.events, len(bundles))


def _is_ours(name: str) -> bool:
    return name in TOP or _ALLOWED.fullmatch(name) is not None


def _bundle_files(root: Path, scratch: Path) -> dict[str, Path]:
    """Return the published bundles' files by name, and the pointer as it is now, copied: it may move meanwhile."""
    files: dict[str, Path] = {}
    for name in (LIVE, HISTORY):
        if (root / name).is_file():
            files[f"bundles/{name}"] = Path(shutil.copyfile(root / name, scratch / name))
    for folder in sorted(root.glob("*")):
        if is_bundle_id(folder.name):
            names = [*verify(folder).files, "manifest.json"]
            files |= {f"bundles/{folder.name}/{name}": folder / name for name in names}
    return files

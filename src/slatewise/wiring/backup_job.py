"""A HOME as one file, and back. The log is taken at one moment, while others write; published bundles never change."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slatewise.bundles.durable import sync_folder, sync_tree
from slatewise.bundles.manifest import is_bundle_id, verify
from slatewise.bundles.registry import HISTORY, LIVE
from slatewise.domain.errors import BundleError, InputError, StorageError
from slatewise.ports.clock import Clock
from slatewise.storage.archive import pack, unpack
from slatewise.storage.log import SqliteEventLog
from slatewise.storage.mark import set_mark
from slatewise.storage.readers import Readers
from slatewise.storage.snapshot import snapshot
from slatewise.storage.verifying import Verdict, verify_log
from slatewise.version import __version__
from slatewise.wiring.erasing import apply
from slatewise.wiring.folders import Folders
from slatewise.wiring.ledger import FILES as LEDGER_FILES
from slatewise.wiring.ledger import Ledger

TOP = frozenset({"slatewise.toml", "keys.json", *LEDGER_FILES})
"""Files of a HOME's top folder that belong to a backup, beside the log."""

_LEFT = frozenset({*LEDGER_FILES, f".{LEDGER_FILES[0]}.lock"})
"""What may be in a folder that a backup is restored to."""

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
    erased: int = 0
    """Users who were in the backup and were erased since: they are not restored."""


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
            # The ledger before the log: an erasure that is in neither or in the log alone is applied when restoring.
            files |= _copies(home, LEDGER_FILES, Path(scratch))
            copy = Path(scratch) / _LOG
            taken = snapshot(folders.log, copy)
            files |= {_LOG: copy} | {name: home / name for name in TOP - files.keys() if (home / name).is_file()}
            facts = {"release": __version__, "version": taken.end, "events": taken.events, "at": clock.now()}
            pack(files, facts, part)
        os.replace(part, target)
        sync_folder(target.parent.absolute())
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return BackupReport(target, target.stat().st_size, taken.end, taken.events, bundles)


def restore(archive: Path, home: Path, ledger: Path | None = None) -> BackupReport:
    """Make the new HOME *home* from a backup, after checking all of it. A failure leaves no folder behind.

    Who was erased since the backup stays erased: told by the erasure ledger in *home*, which may hold nothing else, and
    by *ledger*, that file of another HOME, or its folder. Raises InputError where *home* holds anything else or a
    ledger is not of the HOME that the backup was made of, StorageError and BundleError for what does not match.
    """
    if home.exists() and (not home.is_dir() or any(path.name not in _LEFT for path in home.iterdir())):
        raise InputError("--home", str(home), "a folder that does not exist yet, or holds only an erasure ledger")
    if ledger is not None and not ledger.exists():
        raise InputError("--ledger", str(ledger), "the erasures.jsonl of a HOME, or that HOME")
    if not archive.is_file():
        raise InputError("archive", str(archive), "a file made by `slatewise backup`")
    home = home.absolute()
    staging = home.with_name(f".{home.name}-restoring-{secrets.token_hex(6)}")
    replaced = staging.with_name(staging.name.replace("restoring", "replaced"))
    try:
        staging.mkdir(parents=True)
        unpack(archive, staging, _is_ours)
        bundles = [path for path in (staging / "bundles").glob("*") if is_bundle_id(path.name)]
        for bundle in bundles:
            if verify(bundle).id != bundle.name:
                raise BundleError(f"bundle {bundle.name}: its manifest belongs to another")
        taken = _checked(archive, staging)
        handed = [] if ledger is None else [Ledger(ledger if ledger.is_dir() else ledger.parent)]
        erased = _erase(staging, [Ledger(home), *handed])
        if erased:
            taken = _checked(archive, staging)
        set_mark(staging / _LOG, taken.end)
        sync_tree(staging)
        if home.exists():
            # Aside, not away: should this be cut short, its ledger is still there.
            os.rename(home, replaced)
        os.rename(staging, home)
        sync_folder(home.parent)
        shutil.rmtree(replaced, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"cannot restore {archive}: {error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return BackupReport(home, archive.stat().st_size, taken.end, taken.events, len(bundles), erased)


def _checked(archive: Path, staging: Path) -> Verdict:
    taken = verify_log(staging / _LOG)
    if taken.damages:
        raise StorageError(f"{archive}: {taken.damage[0]} ({taken.damages} in all)")
    return taken


def _erase(staging: Path, ledgers: Sequence[Ledger]) -> int:
    """Take over the ledgers and erase from the unpacked log whom they mean; return how many it still knew."""
    ours = Ledger(staging)
    for ledger in ledgers:
        ours.adopt(ledger)
    for name in LEDGER_FILES:
        if (staging / name).exists():
            (staging / name).chmod(0o600)
    if not ours.open_entries():
        return 0
    readers = Readers(staging / _LOG)
    with readers.borrow() as db:
        actions = [name for (name,) in db.execute("SELECT name FROM actions ORDER BY code")]
    readers.close()
    with SqliteEventLog(staging / _LOG, actions) as log:
        return apply(ours, log)


def _is_ours(name: str) -> bool:
    return name in TOP or _ALLOWED.fullmatch(name) is not None


def _copies(home: Path, names: Iterable[str], scratch: Path) -> dict[str, Path]:
    """Return those of HOME's files that there are, as they are now."""
    return {name: Path(shutil.copyfile(home / name, scratch / name)) for name in names if (home / name).is_file()}


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

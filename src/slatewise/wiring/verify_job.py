"""Checks and rebuilds of a HOME that nobody has opened: damage must not keep from finding damage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from slatewise.bundles.manifest import MANIFEST, is_bundle_id, verify
from slatewise.domain.errors import BundleError, InputError, SlatewiseError, StorageError
from slatewise.domain.settings import Settings
from slatewise.ports.stores import LogStore
from slatewise.storage.digests import folded_digests, stored_digests
from slatewise.storage.log import SqliteEventLog
from slatewise.storage.rebuilding import Rebuilt, rebuild
from slatewise.storage.verifying import verify_log
from slatewise.wiring.folders import Folders
from slatewise.wiring.open_log import open_log_on_server, refuse_on_server

TRIES = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked. ``damage`` is empty where it is sound."""

    name: str
    detail: str
    damage: tuple[str, ...] = ()


def verify_home(home: Path, settings: Settings) -> Iterator[Finding]:
    """Read every byte that answers depend on, and hold the stores against the log. Changes nothing.

    Others may be writing the HOME. Damage is told, not raised; with a damaged log the stores are not compared.
    """
    folders = Folders(home)
    yield from _server(settings) if settings.storage.url else _file(folders.log, settings)
    for folder in sorted(folders.bundles.glob("*")):
        if not is_bundle_id(folder.name):
            continue
        try:
            found = verify(folder)
            wrong = () if found.id == folder.name else (f"{MANIFEST} belongs to {found.id}",)
            yield Finding("bundle", f"{folder.name}, {len(found.files)} files", wrong)
        except (BundleError, OSError) as error:
            yield Finding("bundle", folder.name, (f"{error}; train or restore it, or `slatewise bundles rollback`",))


def rebuild_home(home: Path, settings: Settings, *, accept_loss: bool = False) -> tuple[Rebuilt, dict[str, str]]:
    """Write every derived store of the HOME anew from the log's events; return what became of it and the digests.

    Those are dictionaries, indexes and checksums of the log file; catalogue, users and counters are folded from it at
    every start. Nothing is replaced unless the new stores say what the events say. Raises InputError, StorageError.
    """
    refuse_on_server(settings, "rebuild", "run REINDEX SCHEMA there")
    path = Folders(home).log
    if not path.exists():
        raise InputError("--home", str(home), "a HOME folder made by `slatewise import` or `slatewise demo`")
    digests: dict[str, str] = {}

    def check(fresh: Path) -> None:
        verdict = verify_log(fresh)
        if verdict.damages:
            raise StorageError(f"{path}: the rebuilt log is not sound: {verdict.damage[0]}")
        with SqliteEventLog(fresh, settings.action_names, read_only=True) as log:
            digests.update(folded_digests(log, settings))
            if stored_digests(log, settings) != digests:
                raise StorageError(f"{path}: the rebuilt stores do not say what the events say")

    return rebuild(path, accept_loss=accept_loss, check=check), digests


def _file(path: Path, settings: Settings) -> Iterator[Finding]:
    verdict = verify_log(path)
    unsealed = (
        f", {verdict.unsealed:,} rows from before checksums: `slatewise rebuild` adds them" if verdict.unsealed else ""
    )
    torn = f", {verdict.torn} frames of interrupted writes" if verdict.torn else ""
    hidden = verdict.damages - len(verdict.damage)
    more = (f"and {hidden} more",) if hidden else ()
    yield Finding("log rows", f"{verdict.events:,} events{unsealed}{torn}", (*verdict.damage, *more))
    if not verdict.damages:
        yield _stores(lambda: SqliteEventLog(path, settings.action_names, read_only=True), settings)


def _server(settings: Settings) -> Iterator[Finding]:
    try:
        with open_log_on_server(settings, read_only=True) as log:
            found = tuple(log.damage())
            checksums = "" if log.has_checksums else ", but the server keeps no checksums of its pages (initdb -k)"
            yield Finding("log tables", f"{log.shown}, version {log.end:,}{checksums}", found)
    except SlatewiseError as error:
        yield Finding("log tables", "cannot be read", (str(error),))
    else:
        if not found:
            yield _stores(lambda: open_log_on_server(settings, read_only=True), settings)


def _stores(opened: Callable[[], AbstractContextManager[LogStore]], settings: Settings) -> Finding:
    try:
        with opened() as log:
            for _ in range(TRIES):
                end = log.end
                stored, folded = stored_digests(log, settings), folded_digests(log, settings)
                if log.end == end:
                    break
            else:
                return Finding("stores", "not compared: the log is being written")
    except SlatewiseError as error:
        return Finding("stores", "cannot be read", (str(error),))
    wrong = tuple(
        f"{name}: not what the events say; `slatewise rebuild`" for name in folded if stored[name] != folded[name]
    )
    return Finding("stores", ", ".join(f"{name} {digest[:12]}" for name, digest in folded.items()), wrong)

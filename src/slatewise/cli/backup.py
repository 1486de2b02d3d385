"""`slatewise backup`, `slatewise restore`, `slatewise rebuild`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from slatewise.cli.options import HomeOption, JsonOption, home_path, home_settings
from slatewise.cli.terminal import print_json, results
from slatewise.telemetry.clock import SystemClock
from slatewise.wiring.backup_job import BackupReport, back_up
from slatewise.wiring.backup_job import restore as restore_home
from slatewise.wiring.open_log import refuse_on_server
from slatewise.wiring.verify_job import rebuild_home


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("backup")(backup)
    app.command("restore")(restore)
    app.command("rebuild")(rebuild)


def backup(
    target: Annotated[Path, typer.Argument(help="The file to write; it must not exist yet.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the HOME to one file while it is served: events up to one moment, bundles, settings, keys.

    Example: slatewise backup shop-2026-11-30.tar
    """
    path = home_path(home)
    refuse_on_server(home_settings(path), "backup", "copy HOME, then pg_dump the schema")
    _told(back_up(path, target, SystemClock()), as_json, "backed up to")


def restore(
    archive: Annotated[Path, typer.Argument(help="A file made by `slatewise backup`.")],
    home: HomeOption = None,
    ledger: Annotated[
        Path | None,
        typer.Option("--ledger", help="The erasures.jsonl of the HOME, with its key beside it: who stays erased."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new HOME from a backup, after checking every digest and every event.

    Users erased since stay erased: told by --ledger, or by erasures.jsonl and erasures.key left in the folder.

    Example: slatewise restore shop-2026-11-30.tar --home shop
    """
    _told(restore_home(archive, home_path(home), ledger), as_json, "restored to")


def rebuild(
    home: HomeOption = None,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Give up events that are damaged, instead of refusing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write dictionaries, indexes and checksums anew from the log's events. No server may have the HOME open.

    Example: slatewise rebuild --home shop
    """
    path = home_path(home)
    rebuilt, digests = rebuild_home(path, home_settings(path), accept_loss=accept_loss)
    if as_json:
        print_json(asdict(rebuilt) | {"digests": digests})
        return
    results.print(
        f"{rebuilt.events:,} events, {rebuilt.sealed:,} rows given a checksum, {rebuilt.lost:,} events given up"
    )
    for name, digest in digests.items():
        results.print(f"  {name:<10} {digest}")


def _told(report: BackupReport, as_json: bool, how: str) -> None:
    if as_json:
        print_json(asdict(report) | {"path": str(report.path)})
    else:
        size = f"{report.bytes / 1e6:.1f} MB"
        results.print(f"{how} {report.path}: version {report.version:,}, {report.bundles} bundles, {size}, checked")
        if report.erased:
            results.print(f"{report.erased} users erased since are not in it")

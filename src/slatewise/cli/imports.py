"""`slatewise import`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from slatewise.cli.options import HomeOption, JsonOption, SetOption, open_home, pairs
from slatewise.cli.terminal import Bars, print_json, results
from slatewise.wiring.import_job import ImportReport


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("import")(import_data)


def import_data(
    source: Annotated[
        Path, typer.Argument(help="Folder with interactions.* and optional items.*, users.*, or a file.")
    ],
    home: HomeOption = None,
    mapping: Annotated[
        list[str] | None, typer.Option("--map", metavar="OURS=THEIRS", help="Read our column from theirs.")
    ] = None,
    action: Annotated[str | None, typer.Option(help="Action of rows that name none. Default: a setting.")] = None,
    strict: Annotated[bool, typer.Option(help="Stop at the first bad row instead of counting it.")] = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import interactions, items and users into a HOME.

    Columns: user_id, item_id and optionally timestamp, action, value; further columns of items and users are kept as
    attributes. Bad rows are counted by reason and written to HOME/rejects; importing the same twice stores it once.

    Examples:

      slatewise import ./data --home H

      slatewise import ./ml1m --home H --map timestamp=position --map categories=genres
    """
    with open_home(home, overrides) as opened, Bars() as bars:
        report = opened.import_data(
            source, mapping=pairs("--map", mapping), action=action, strict=strict, progress=bars
        )
    if as_json:
        print_json(asdict(report))
    else:
        show(report)


def show(report: ImportReport) -> None:
    """Print what was imported, and the bad rows by reason with the first of them."""
    results.print(
        f"imported {report.interactions:,} interactions, {report.items:,} new or changed items, "
        f"{report.users:,} users, {report.impressions:,} impressions; {report.duplicates:,} were known already"
    )
    if not report.rejected:
        return
    table = Table(title=f"{sum(report.rejected.values()):,} rows refused", title_justify="left")
    table.add_column("reason")
    table.add_column("rows", justify="right")
    for reason, count in sorted(report.rejected.items(), key=lambda kv: -kv[1]):
        table.add_row(reason, f"{count:,}")
    results.print(table)
    for reject in report.examples[:5]:
        results.print(f"  {reject.file}:{reject.line}: {reject.reason}: {reject.text}", markup=False)
    results.print(f"all of them: {report.rejects_file}")

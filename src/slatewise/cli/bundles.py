"""`slatewise bundles list|promote|rollback`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from slatewise.cli.options import HomeOption, JsonOption, open_home
from slatewise.cli.terminal import print_json, results

app = typer.Typer(help="List, promote and roll back bundles.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_bundles(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Print every published bundle, oldest first."""
    with open_home(home, None, must_exist=True) as opened:
        bundles = opened.bundles()
    if as_json:
        print_json([asdict(bundle) for bundle in bundles])
        return
    table = Table("bundle", "built", "MB", "live")
    for bundle in bundles:
        built = datetime.fromtimestamp(bundle.created_at, UTC).strftime("%Y-%m-%d %H:%M") if bundle.created_at else "?"
        table.add_row(bundle.id, built, f"{bundle.bytes / 1e6:.1f}", "live" if bundle.live else "")
    results.print(table)


@app.command()
def promote(
    bundle: Annotated[str, typer.Argument(help="The bundle's id.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a bundle live; a running server swaps to it without dropping a request."""
    with open_home(home, None, must_exist=True) as opened:
        _told(opened.promote(bundle), as_json)


@app.command()
def rollback(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Make the bundle live that was live before."""
    with open_home(home, None, must_exist=True) as opened:
        _told(opened.rollback(), as_json)


def _told(bundle: str, as_json: bool) -> None:
    if as_json:
        print_json({"live": bundle})
    else:
        results.print(f"live: {bundle}")

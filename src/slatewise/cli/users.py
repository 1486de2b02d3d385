"""`slatewise users erase|export`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from slatewise.cli.options import HomeOption, JsonOption, open_home
from slatewise.cli.terminal import console, print_json, results

app = typer.Typer(help="Erase users, and hand out what is known of them.", no_args_is_help=True, rich_markup_mode=None)

UserArgument = Annotated[str, typer.Argument(help="The user's id.")]


@app.command()
def erase(user: UserArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Destroy all that is known of a user, down to the bytes, while a server runs; prints a receipt.

    Backups from before still hold the user: `slatewise restore` erases them again, told by the ledger in HOME.

    Example: slatewise users erase u1 --json > receipt.json
    """
    with open_home(home, None, must_exist=True) as opened:
        erased = opened.delete_user(user)
    if as_json:
        print_json(asdict(erased))
        return
    results.print(
        f"erased: {erased.interactions:,} interactions, {erased.impressions:,} impressions, {erased.changes:,} changes,"
        f" {erased.rejects:,} refused lines; ledger entry {erased.entry}"
    )
    if erased.bundles:
        results.print(f"trained before, the user's part is in what they learned: {', '.join(erased.bundles)}")


@app.command()
def export(
    user: UserArgument,
    to: Annotated[Path | None, typer.Option("--to", help="The file to write. Default: stdout.")] = None,
    home: HomeOption = None,
) -> None:
    """Write all that is known of a user as one JSON object: attributes, interactions, impressions.

    Example: slatewise users export u1 --to u1.json
    """
    with open_home(home, None, must_exist=True) as opened:
        parts = opened.export_user(user)
        if to is None:
            for part in parts:
                sys.stdout.buffer.write(part)
            sys.stdout.buffer.write(b"\n")
            sys.stdout.buffer.flush()
            return
        with open(to, "wb") as file:
            file.writelines(parts)
    console.print(f"written: {to}")

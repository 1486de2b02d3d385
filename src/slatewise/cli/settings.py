"""`slatewise settings`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from slatewise.cli.options import HomeOption, JsonOption, SetOption, home_path, pairs
from slatewise.cli.terminal import print_json, results
from slatewise.domain.urls import without_password
from slatewise.wiring.home import SETTINGS_FILE
from slatewise.wiring.settings import effective, load_settings, read_environment, settings_markdown


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("settings")(settings)


def settings(
    home: HomeOption = None,
    markdown: Annotated[bool, typer.Option(help="Print the documentation page of all settings.")] = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print every setting with its value and where it came from: default < HOME/slatewise.toml < environment < flag."""
    if markdown:
        print(settings_markdown(), end="")  # noqa: T201  a document for a file
        return
    loaded = load_settings(home_path(home) / SETTINGS_FILE, read_environment(), pairs("--set", overrides))
    rows = [row._replace(value=_shown(row.value)) for row in effective(loaded)]
    if as_json:
        print_json([row._asdict() for row in rows])
        return
    table = Table("setting", "value", "from", "what it is")
    for row in rows:
        table.add_row(row.name, str(row.value), row.origin, row.help, style=None if row.origin == "default" else "bold")
    results.print(table)


def _shown(value: object) -> object:
    """Return a value fit for a terminal and whoever looks over a shoulder: without passwords in urls."""
    return without_password(value) if isinstance(value, str) else value

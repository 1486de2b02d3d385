"""`slatewise`: gathers the verbs, turns our errors into exit codes."""

from __future__ import annotations

import sys

import typer
from rich.markup import escape

from slatewise.cli import (
    backup,
    bench,
    bundles,
    demo,
    doctor,
    evaluate,
    imports,
    keys,
    recommend,
    serve,
    settings,
    train,
    tune,
    users,
)
from slatewise.cli.terminal import console
from slatewise.domain.errors import ConfigError, Expired, InputError, NotFound, NotReady, SlatewiseError
from slatewise.version import __version__

EXIT_CODES = """
Exit codes: 0 done, 1 failed, 2 wrong usage, setting or input, 3 not found, 4 nothing live yet, 130 interrupted."""

app = typer.Typer(
    name="slatewise",
    help="Real-time recommendations: events in, the right ten items out, now." + EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (demo, imports, train, tune, evaluate, serve, bench, recommend, settings, doctor, backup):
    verb.register(app)
app.add_typer(bundles.app, name="bundles")
app.add_typer(keys.app, name="keys")
app.add_typer(users.app, name="users")


def version(shown: bool) -> None:
    """Print the version and stop."""
    if shown:
        typer.echo(f"slatewise {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=version, is_eager=True, help="Print the version."),
) -> None:
    """Real-time recommendations: events in, the right ten items out, now."""


def exit_code(error: SlatewiseError) -> int:
    """Return the exit code that tells a script what kind of trouble it was."""
    if isinstance(error, InputError | ConfigError):
        return 2
    if isinstance(error, Expired | NotFound):
        return 3
    return 4 if isinstance(error, NotReady) else 1


def main() -> None:
    """Run the command line."""
    try:
        app()
    except SlatewiseError as error:
        console.print("[bold red]error:[/]", escape(str(error)))
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)

"""`slatewise keys create|list|rotate|revoke`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from slatewise.cli.options import HomeOption, JsonOption, home_path
from slatewise.cli.terminal import console, print_json, results
from slatewise.domain.keys import SCOPES, ApiKey
from slatewise.telemetry.clock import SystemClock
from slatewise.wiring.keys import KeyFile

HOUR_S = 3_600.0
DAY_S = 24 * HOUR_S
CLOCK = SystemClock()

app = typer.Typer(
    help="API keys of the HTTP door: make, list, replace and revoke them. With one, every caller needs one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Scopes = Annotated[
    list[str], typer.Option("--scope", help="; ".join(f"{name}: {what}" for name, what in SCOPES.items()))
]

KeyArgument = Annotated[str, typer.Argument(help="The key's id, as listed: not the key itself.")]


@app.command()
def create(
    name: Annotated[
        str, typer.Argument(help="Who is to use it; two keys may share a name while one replaces another.")
    ],
    scope: Scopes,
    expires_in_days: Annotated[float | None, typer.Option(help="Days it is accepted. Default: until revoked.")] = None,
    rate: Annotated[
        float | None, typer.Option(help="Requests a second to each worker, 0: no limit. Default: http.rate.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it, once: HOME keeps only its digest. Running servers know it within a second.

    Examples:

      slatewise keys create web --scope serve --scope events

      slatewise keys create prometheus --scope observe --expires-in-days 90 --json
    """
    lasts_s = None if expires_in_days is None else expires_in_days * DAY_S
    _show(*_keys(home).create(name, scope, lasts_s, rate), as_json)


@app.command("list")
def list_keys(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Print every key ever made, without its secret."""
    keys = _keys(home).all()
    if as_json:
        print_json([_told(key) for key in keys])
        return
    table = Table("key", "name", "scopes", "made", "expires", "state")
    for key in keys:
        scopes = ", ".join(sorted(key.scopes))
        table.add_row(key.id, escape(key.name), scopes, _day(key.created_at), _day(key.expires_at), _told(key)["state"])
    results.print(table)


@app.command()
def rotate(
    key: KeyArgument,
    overlap_hours: Annotated[float, typer.Option(help="Hours the old key is accepted beside the new one.")] = 24.0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a successor with the same name, scopes, rate and lifetime, print it once, and let the old key run out.

    Examples:

      slatewise keys rotate 3f9a01c2de --overlap-hours 1
    """
    _show(*_keys(home).rotate(key, overlap_hours * HOUR_S), as_json)


@app.command()
def revoke(
    key: KeyArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop accepting a key; running servers refuse it within a second."""
    revoked = _keys(home).revoke(key)
    if as_json:
        print_json(_told(revoked))
    else:
        results.print(f"revoked: {revoked.id} ({escape(revoked.name)})")


def _keys(home: HomeOption) -> KeyFile:
    return KeyFile(home_path(home), CLOCK)


def _show(key: ApiKey, token: str, as_json: bool) -> None:
    if as_json:
        print_json({**_told(key), "key": token})
        return
    console.print(f"key {key.id} for {escape(key.name)}: {', '.join(sorted(key.scopes))}. It is shown only now:")
    results.print(token, markup=False)


def _told(key: ApiKey) -> dict[str, Any]:
    state = "live" if key.is_live(CLOCK.now()) else "expired" if key.revoked_at is None else "revoked"
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "rate": key.rate,
        "state": state,
    }


def _day(at: float | None) -> str:
    return "never" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")

"""`slatewise serve`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import typer

from slatewise.cli.options import HomeOption, SetOption, home_path, open_home, pairs
from slatewise.cli.terminal import console
from slatewise.domain.errors import InputError
from slatewise.http.app import create_app
from slatewise.http.seat import Seat
from slatewise.http.server import serve as serve_http
from slatewise.http.server import serve_seat
from slatewise.http.supervisor import Supervisor
from slatewise.telemetry.board import Board
from slatewise.wiring.home import SETTINGS_FILE
from slatewise.wiring.memory import settle
from slatewise.wiring.settings import load_settings, read_environment


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("serve")(serve)


def serve(
    home: HomeOption = None,
    host: str | None = typer.Option(None, help="Address to bind. Default: a setting, loopback."),
    port: int | None = typer.Option(None, help="Port to bind, 0 for a free one. Default: a setting, 8080."),
    workers: int | None = typer.Option(None, help="Processes to serve with. Default: a setting, 1."),
    overrides: SetOption = None,
    seat: str | None = typer.Option(None, hidden=True),
) -> None:
    """Answer over HTTP until told to stop. SIGTERM or Ctrl-C finish what is under way.

    Several workers share HOME and address: what one acknowledged, the next answer of any reflects.

    Examples:

      slatewise serve --home H --workers 4

      curl -s localhost:8080/v1/recommendations/alice?size=10
    """
    if seat is not None:
        return work(home, overrides, Seat.read(seat))
    http = load_settings(home_path(home) / SETTINGS_FILE, read_environment(), pairs("--set", overrides)).settings.http
    wanted = http.workers if workers is None else workers
    if wanted < 1:
        raise InputError("workers", wanted, "1 or more")
    at = (host or http.host, http.port if port is None else port)
    if wanted > 1:
        raise typer.Exit(_supervise(home_path(home), overrides, wanted, *at))
    _serve_alone(home, overrides, *at)


def work(home: Path | None, overrides: list[str] | None, seat: Seat) -> None:
    """Serve as one of several processes."""
    with ExitStack() as stack:
        opened = stack.enter_context(open_home(home, overrides))
        opened.watch()
        # Read before this worker answers, as the others did.
        _ = opened.live_bundle

        app = create_app(opened, opened.metrics, opened.clock)

        def refresh() -> None:
            app.state.overload.tell()
            opened.metrics.state(opened.version, opened.live_bundle)
            opened.metrics.writable(opened.trouble is None)

        board = Board(seat.folder, seat.number, opened.metrics.registry, refresh)
        stack.callback(board.close)
        opened.metrics.share(board)
        settle()
        serve_seat(app, seat)


def _serve_alone(home: Path | None, overrides: list[str] | None, host: str, port: int) -> None:
    with open_home(home, overrides) as opened:
        bundle = opened.live_bundle
        opened.watch()

        def ready(url: str) -> None:
            console.print(f"serving [bold]{opened.path}[/] at {url} (try {url}/docs), bundle {bundle or 'none yet'}")

        app = create_app(opened, opened.metrics, opened.clock)
        settle()
        serve_http(app, host, port, ready)


def _supervise(home: Path, overrides: list[str] | None, workers: int, host: str, port: int) -> int:
    def ready(url: str) -> None:
        console.print(f"serving [bold]{home}[/] at {url} (try {url}/docs), {workers} workers")

    command = [sys.executable, "-m", "slatewise", "serve", "--home", str(home)]
    for override in (*(overrides or ()), f"http.workers={workers}"):
        command += ["--set", override]
    return Supervisor(command, workers, host, port, ready).run()

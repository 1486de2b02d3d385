"""`slatewise serve`."""

from __future__ import annotations

import typer

from slatewise.cli.options import HomeOption, SetOption, open_home
from slatewise.cli.terminal import console
from slatewise.http.app import create_app
from slatewise.http.server import serve as serve_http


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("serve")(serve)


def serve(
    home: HomeOption = None,
    host: str | None = typer.Option(None, help="Address to bind. Default: a setting, loopback."),
    port: int | None = typer.Option(None, help="Port to bind, 0 for a free one. Default: a setting, 8080."),
    overrides: SetOption = None,
) -> None:
    """Answer over HTTP until told to stop. SIGTERM or Ctrl-C finish what is under way.

    Examples:

      slatewise serve --home H

      curl -s localhost:8080/v1/recommendations/alice?size=10
    """
    opened = open_home(home, overrides)
    http = opened.settings.http
    bundle = opened.live_bundle

    def ready(url: str) -> None:
        console.print(f"serving [bold]{opened.path}[/] at {url} (try {url}/docs), bundle {bundle or 'none yet'}")

    try:
        app = create_app(opened, opened.metrics, opened.clock)
        serve_http(app, host or http.host, http.port if port is None else port, ready)
    finally:
        opened.close()

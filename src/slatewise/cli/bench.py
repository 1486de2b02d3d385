"""`slatewise bench`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from slatewise.cli.options import JsonOption, pairs
from slatewise.cli.terminal import Bars, console, print_json, results
from slatewise.domain.errors import InputError
from slatewise.load.apart import measure_apart
from slatewise.load.known import prepare
from slatewise.load.page import write_page
from slatewise.load.plan import DEFAULT_MIX, Plan
from slatewise.load.plots import write_png
from slatewise.load.result import Result
from slatewise.load.table import sentences, tables, warnings
from slatewise.telemetry.clock import SystemClock
from slatewise.wiring.settings import read_environment

DEFAULT_SHARES = ",".join(f"{kind}={share:g}" for kind, share in DEFAULT_MIX.items())
PICTURES: dict[str, Callable[[Result, Path], None]] = {".html": write_page, ".png": write_png}


class Arrivals(StrEnum):
    """How requests are spread over time."""

    poisson = "poisson"
    constant = "constant"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("bench")(bench)


def bench(
    url: Annotated[str, typer.Option(help="The server. The run WRITES into its log.")] = "http://127.0.0.1:8080",
    rate: Annotated[float, typer.Option(help="Requests per second, all kinds together.")] = 50.0,
    duration: Annotated[float, typer.Option(help="Seconds that count.")] = 30.0,
    warmup: Annotated[float, typer.Option(help="Seconds before them, of the same traffic, that do not.")] = 2.0,
    arrivals: Annotated[Arrivals, typer.Option(help="Independent of each other, or evenly spaced.")] = Arrivals.poisson,
    seed: Annotated[int, typer.Option(help="Of everything drawn by chance.")] = 0,
    mix: Annotated[
        str,
        typer.Option(
            metavar="KIND=SHARE,...",
            help="Shares, 1 in all: slates of fresh users, slates of returning users, event, and item "
            "(items written back as they are; off unless named, for it changes the server's data).",
        ),
    ] = DEFAULT_SHARES,
    size: Annotated[int, typer.Option(help="Items in a slate.")] = 10,
    deadline_ms: Annotated[float | None, typer.Option(help="Passed on with every slate.")] = None,
    api_key: Annotated[
        str | None,
        typer.Option("--key", "--api-key", help="Sent as 'authorization: Bearer'. Default: $SLATEWISE_API_KEY."),
    ] = None,
    users: Annotated[int, typer.Option(help="Returning users, made up and given a history before the run.")] = 1000,
    history: Annotated[int, typer.Option(help="Events in each one's history.")] = 5,
    users_file: Annotated[Path | None, typer.Option("--users-file", help="Returning users, one id a line.")] = None,
    items: Annotated[Path | None, typer.Option(help="Items, one id a line. Default: learned from the server.")] = None,
    zipf: Annotated[float, typer.Option(help="How unequal returning users are: 0 not at all, 1 usual.")] = 1.0,
    connections: Annotated[int, typer.Option(help="Keep-alive connections opened ahead.")] = 32,
    max_connections: Annotated[int, typer.Option(help="Connections at most, as answers take longer.")] = 512,
    timeout: Annotated[float, typer.Option(help="Seconds after which an answer is given up.")] = 10.0,
    cpu: Annotated[int | None, typer.Option(help="Core to keep the generator on.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Begins every id made up here. Default: bench- and the time.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Where a picture goes: FILE.html or FILE.png.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Load a running server at a fixed rate, answered or not, and measure latency from when each request was due.

    Writes into the target's log: events and impressions of users whose ids begin with the run's name. Do not point it
    at a log that is to stay clean. Says so when the generator itself was the limit. Ctrl-C ends it early and reports.

    Examples:

      slatewise bench --url http://127.0.0.1:8080 --rate 100 --duration 30

      slatewise bench --rate 200 --mix fresh=0.2,returning=0.5,event=0.3 --cpu 1 --plot load.html --json
    """
    plan = Plan(
        url=url,
        rate=rate,
        duration_s=duration,
        name=name or datetime.fromtimestamp(SystemClock().now(), UTC).strftime("bench-%Y%m%d-%H%M%S-%f"),
        arrivals=arrivals.value,
        seed=seed,
        warmup_s=warmup,
        mix=_shares(mix),
        connections=connections,
        max_connections=max_connections,
        timeout_s=timeout,
        size=size,
        deadline_ms=deadline_ms,
        # The environment is seen by fewer than a command line is.
        api_key=api_key or read_environment().get("SLATEWISE_API_KEY"),
        users=users,
        user_ids=_ids("--users-file", users_file),
        history=history,
        zipf=zipf,
        item_ids=_ids("--items", items),
        cpu=cpu,
    )
    draw = _picture(plot)
    with Bars() as bars:
        result = measure_apart(plan, prepare(plan, bars.step), bars.step)
    _show(result, as_json)
    if plot is not None and draw is not None:
        draw(result, plot)
        console.print(f"plot: {plot}")
    if as_json:
        print_json(result.to_json())


def _show(result: Result, as_json: bool) -> None:
    """Print the tables; beside JSON they go where progress goes, so that stdout is one document."""
    out = console if as_json else results
    out.print(*tables(result), sep="\n")
    alarming = set(warnings(result))
    for sentence in sentences(result):
        out.print(f"[bold red]{escape(sentence)}[/]" if sentence in alarming else escape(sentence))


def _shares(text: str) -> dict[str, float]:
    shares = {}
    for kind, share in pairs("--mix", text.split(",")).items():
        try:
            shares[kind] = float(share)
        except ValueError:
            raise InputError(f"--mix {kind}", share, "a share such as 0.3") from None
    return shares


def _ids(option: str, path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(option, str(path), f"a text file with one id a line ({error})") from None
    ids = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not ids:
        raise InputError(option, str(path), "a text file with one id a line (this one has none)")
    return ids


def _picture(path: Path | None) -> Callable[[Result, Path], None] | None:
    """Return what draws the picture, refusing before the run what could not be drawn after it."""
    if path is None:
        return None
    draw = PICTURES.get(path.suffix.lower())
    if draw is None or not path.parent.is_dir():
        raise InputError("--plot", str(path), "a file named .html or .png in a folder that exists")
    if importlib.util.find_spec("matplotlib") is None:
        raise InputError("--plot", str(path), "matplotlib to be installed: pip install 'slatewise[report]'")
    return draw

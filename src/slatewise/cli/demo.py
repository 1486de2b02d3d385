"""`slatewise demo`: the whole loop on a simulated shop, from data to live traffic."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from slatewise.cli import imports, train
from slatewise.cli.client import Client
from slatewise.cli.live_traffic import Arm, run_traffic
from slatewise.cli.options import HomeOption, pairs
from slatewise.cli.terminal import Bars, results
from slatewise.datasets.shop.export import write_shop
from slatewise.datasets.shop.generate import generate
from slatewise.datasets.shop.live import Shop
from slatewise.datasets.shop.settings import ShopSettings
from slatewise.domain.errors import InputError
from slatewise.evaluation.html import write_html
from slatewise.evaluation.table import table
from slatewise.http.app import create_app
from slatewise.http.server import running
from slatewise.telemetry.clock import SystemClock
from slatewise.wiring.home import Home

DEMO_SETTINGS = {"training.minutes": 0.7, "training.ranker_minutes": 0.7, "training.ranker_lists": 4000}
"""Enough for the demo's small shop on two cores; the defaults are for real data."""
MAX_CASES = 1500
MARK = ".slatewise-demo"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("demo")(demo)


def demo(
    home: HomeOption = None,
    keep: Annotated[bool, typer.Option(help="Leave the server up until Ctrl-C.")] = False,
    seconds: Annotated[float, typer.Option(help="How long simulated users visit.")] = 20.0,
    users: Annotated[int, typer.Option(help="Users of the simulated shop.")] = 1000,
    items: Annotated[int, typer.Option(help="Items of the simulated shop.")] = 2000,
    port: Annotated[int, typer.Option(help="Port to serve on, 0 for a free one.")] = 0,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE")] = None,
) -> None:
    """Show everything in a few minutes: import, train, evaluate, serve, live users; ends by itself unless kept.

    Examples:

      slatewise demo

      slatewise demo --keep --port 8080
    """
    path = home or Path("demo-home")
    _fresh(path)
    shop_settings = replace(ShopSettings(), n_users=users, n_items=items, end=SystemClock().now())
    with Home(path, settings={**DEMO_SETTINGS, **pairs("--set", overrides)}) as opened:
        shop = _imported(opened, shop_settings)
        _trained(opened)
        _evaluated(opened)
        _served(opened, shop, seconds, port, keep)


def _fresh(path: Path) -> None:
    """Empty the demo's own folder of an earlier run; refuse any other folder that holds something."""
    if path.exists() and any(path.iterdir()):
        if not (path / MARK).exists():
            raise InputError("--home", str(path), "a new or empty folder: this one holds something that is no demo")
        shutil.rmtree(path)
    path.mkdir(parents=True, exist_ok=True)
    (path / MARK).touch()


def _headline(step: int, text: str) -> None:
    results.print(f"\n[bold cyan]{step}. {text}[/]")


def _imported(home: Home, settings: ShopSettings) -> Shop:
    _headline(1, "A shop's past, as files, imported")
    with Bars() as bars:
        bars.step("simulating a shop", 0, 1)
        data, shop = generate(settings)
        folder = home.path / "data"
        folder.mkdir()
        write_shop(data, folder)
        bars.step("simulating a shop", 1, 1, str(folder))
        report = home.import_data(folder, progress=bars)
    imports.show(report)
    return shop


def _trained(home: Home) -> None:
    _headline(2, "Two towers, an index and a deep ranker, trained on all but the newest 15 %")
    with Bars() as bars:
        trained = home.train(holdout="time", progress=bars)
    train.show(trained.bundle, trained.facts, live=True)


def _evaluated(home: Home) -> None:
    _headline(3, "The newest 15 % replayed through the real request path")
    with Bars() as bars:
        report = home.evaluate(split="time", max_cases=MAX_CASES, progress=bars)
    home.folders.reports.mkdir(exist_ok=True)
    page = home.folders.reports / "demo.html"
    write_html(report, page)
    results.print(table(report))
    results.print(f"the same with plots: {page}")


def _served(home: Home, shop: Shop, seconds: float, port: int, keep: bool) -> None:
    _headline(4, "Served over HTTP, to simulated users who click on what they see")
    popular = home.trending(10)
    with running(create_app(home, home.metrics, home.clock), port=port) as url:
        client = Client(url)
        _before_and_after(home, client, shop)
        with Bars() as bars:
            arms = run_traffic(client, shop, popular, seconds, home.clock, np.random.default_rng(1), bars)
        _show_arms(arms)
        _show_where(home, url, keep)
        client.close()
        if keep:
            _wait()


def _before_and_after(home: Home, client: Client, shop: Shop) -> None:
    """Post one click and show how it moves the same user's slate."""
    user = shop.next_visitor(np.random.default_rng(7))
    before = client.recommend(user_id=user, size=10)
    again = client.recommend(user_id=user, size=10)
    clicked = before["items"][-1]["item_id"]
    receipt = client.record({"user_id": user, "item_id": clicked, "action": "click"})
    after = client.recommend(user_id=user, size=10, min_version=receipt["version"])
    moved = Table(title=f"{user} before and after a click on {clicked}", title_justify="left")
    for column in ("", "before", "after"):
        moved.add_column(column)
    shown = {item["item_id"] for item in before["items"]}
    for place, (old, new) in enumerate(zip(before["items"], after["items"], strict=False)):
        fresh = new["item_id"] not in shown
        moved.add_row(str(place), _named(home, old), f"[green]{_named(home, new)}[/]" if fresh else _named(home, new))
    results.print(moved)
    results.print(
        f"asked again before the click: cached={again['cached']}; after it: cached={after['cached']}, "
        f"as of version {after['as_of']}"
    )
    stages = ", ".join(f"{stage} {spent:.2f}" for stage, spent in after["timing_ms"].items())
    results.print(f"milliseconds by stage: {stages}")


def _named(home: Home, item: Any) -> str:
    item_id = str(item["item_id"])
    return f"{home.item(item_id).title or item_id}"


def _show_arms(arms: dict[str, Arm]) -> None:
    result = Table(title="live users, assigned by a coin", title_justify="left")
    for column in ("shown by", "slates", "slates with a click", "clicks per slate", "buys", "p50 ms", "p95 ms"):
        result.add_column(column, justify="left" if column == "shown by" else "right")
    for name, arm in arms.items():
        latency = np.percentile(arm.latency_ms, [50, 95]) if arm.latency_ms else (float("nan"), float("nan"))
        result.add_row(
            name,
            str(arm.slates),
            f"{arm.hit_rate:.1%}",
            f"{arm.clicks / max(1, arm.slates):.2f}",
            str(arm.buys),
            *(f"{value:.1f}" if np.isfinite(value) else "" for value in latency),
        )
    results.print(result)


def _show_where(home: Home, url: str, keep: bool) -> None:
    _headline(5, "Where to look")
    results.print(f"  HOME       {home.path} (log.sqlite, bundles/, reports/demo.html)")
    results.print(f"  explain    slatewise explain user-00001 --home {home.path}")
    results.print(f"  serve      slatewise serve --home {home.path}")
    results.print("  your data  slatewise import DIR --home H && slatewise train --home H && slatewise serve --home H")
    if keep:
        results.print(f"\nserving at [bold]{url}[/] ({url}/docs, {url}/metrics) until Ctrl-C")


def _wait() -> None:
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        results.print("stopping")

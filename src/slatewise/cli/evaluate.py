"""`slatewise evaluate`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from slatewise.cli.options import HomeOption, JsonOption, SetOption, open_home
from slatewise.cli.terminal import Bars, console, print_json, results
from slatewise.evaluation.decomposition_table import decomposition_tables
from slatewise.evaluation.html import write_html
from slatewise.evaluation.reranking_table import costs_table
from slatewise.evaluation.table import table


class Split(StrEnum):
    """How the past is cut."""

    last_item = "last-item"
    time = "time"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("evaluate")(evaluate)


def evaluate(
    home: HomeOption = None,
    split: Annotated[Split, typer.Option(help="The holdout that the bundle was trained with.")] = Split.last_item,
    bundle: Annotated[str | None, typer.Option(help="Bundle to evaluate. Default: the live one.")] = None,
    max_cases: Annotated[int | None, typer.Option(help="Draw that many cases; the report says so.")] = None,
    html: Annotated[Path | None, typer.Option(help="Where the HTML report goes. Default: HOME/reports.")] = None,
    decompose: Annotated[
        bool,
        typer.Option("--decompose", help="Also ask with exact search, popular candidates, and more or fewer of them."),
    ] = False,
    decompose_cases: Annotated[int, typer.Option(min=1, help="Cases drawn for --decompose.")] = 500,
    reranking: Annotated[
        bool, typer.Option("--reranking", help="Also price each re-ranking rule alone, in NDCG and in what it buys.")
    ] = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replay what training did not see through the real request path, and price every stage.

    Reports retrieval, filtering, ranking and the final slate beside popularity, recent popularity, item-kNN, Markov,
    EASE, matrix factorisation and boosted trees: full ranking, no sampled metrics. Says where quality is lost.

    Examples:

      slatewise evaluate --home H --split last-item

      slatewise evaluate --home H --split time --json

      slatewise evaluate --home H --split time --decompose

      slatewise evaluate --home H --split time --reranking
    """
    with open_home(home, overrides, must_exist=True) as opened, Bars() as bars:
        report = opened.evaluate(
            split=split.value,
            bundle=bundle,
            max_cases=max_cases,
            decompose_cases=decompose_cases if decompose else 0,
            progress=bars,
        )
        page = html or opened.folders.reports / f"{report.bundle}-{split.value}.html"
        costs = None
        if reranking:
            costs = opened.reranking_costs(split=split.value, bundle=bundle, max_cases=max_cases, progress=bars)
    page.parent.mkdir(parents=True, exist_ok=True)
    write_html(report, page)
    if as_json:
        print_json(report.to_json() | ({} if costs is None else {"reranking": costs.to_json()}))
    else:
        results.print(table(report), *decomposition_tables(report))
        if costs is not None:
            results.print(costs_table(costs))
    console.print(f"report: {page}")
    if costs is not None:
        prices = page.with_name(f"{page.stem}-reranking.json")
        prices.write_text(json.dumps(costs.to_json(), indent=2) + "\n", encoding="utf-8")
        console.print(f"rules: {prices}")

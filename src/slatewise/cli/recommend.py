"""`slatewise recommend`, `explain` and `similar`: one answer on the terminal."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from slatewise.cli.options import HomeOption, JsonOption, SetOption, numbers, open_home, pairs, scalars
from slatewise.cli.terminal import print_json, results
from slatewise.domain.answer import Answer, ExplainedCandidate
from slatewise.wiring.home import Home

UserArgument = Annotated[str | None, typer.Argument(help="The user. Leave out for an anonymous visitor.")]
SizeOption = Annotated[int, typer.Option(help="Items wanted.")]
HistoryOption = Annotated[
    str | None, typer.Option(help="Item ids, oldest first, comma separated, instead of the log's.")
]
WhereOption = Annotated[
    list[str] | None, typer.Option("--where", metavar="ATTRIBUTE=VALUE", help="Only items with that value; repeatable.")
]
ContextOption = Annotated[
    list[str] | None,
    typer.Option(
        "--context",
        metavar="NAME=VALUE",
        help="Where the request comes from: text, a number, true or false; in double quotes text; repeatable.",
    ),
]
WeightOption = Annotated[
    list[str] | None,
    typer.Option(
        "--weight", metavar="ACTION=NUMBER", help="What an action counts for in this answer's scores; repeatable."
    ),
]
CursorOption = Annotated[
    str | None, typer.Option(help="Of an answer to the same query (--json shows it): print the page behind that one.")
]
DeadlineOption = Annotated[
    float | None, typer.Option(help="Time for the answer in milliseconds, instead of serving.deadline_ms.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("recommend")(recommend)
    app.command("explain")(explain)
    app.command("similar")(similar)


def recommend(
    user_id: UserArgument = None,
    home: HomeOption = None,
    size: SizeOption = 10,
    history: HistoryOption = None,
    where: WhereOption = None,
    context: ContextOption = None,
    weight: WeightOption = None,
    cursor: CursorOption = None,
    deadline_ms: DeadlineOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the slate of a user.

    Examples:

      slatewise recommend alice --home H

      slatewise recommend --home H --history i1,i2 --where categories=shoes --context device=mobile

      slatewise recommend alice --home H --weight buy=10 --weight view=0
    """
    with open_home(home, overrides, must_exist=True) as opened:
        asked = _asked(user_id, size, history, where, context, weight)
        answer = opened.recommend(**asked, cursor=cursor, deadline_ms=deadline_ms)
        if as_json:
            print_json(asdict(answer))
        else:
            results.print(slate_table(opened, answer))


def explain(
    user_id: UserArgument = None,
    home: HomeOption = None,
    item: Annotated[str | None, typer.Option(help="Why is this item (not) shown? All candidates otherwise.")] = None,
    size: SizeOption = 10,
    history: HistoryOption = None,
    where: WhereOption = None,
    context: ContextOption = None,
    weight: WeightOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the way of every candidate through the funnel: source, filter, features, probabilities, position.

    Examples:

      slatewise explain alice --home H

      slatewise explain alice --home H --item i42
    """
    with open_home(home, overrides, must_exist=True) as opened:
        answer = opened.recommend(**_asked(user_id, size, history, where, context, weight), explain=True)
    candidates = answer.explanation or ()
    if item is not None:
        candidates = tuple(c for c in candidates if c.item_id == item)
        if not candidates and not as_json:
            results.print(f"no retrieval source offered item {item} for this query")
            return
    if as_json:
        print_json({**asdict(answer), "explanation": [asdict(c) for c in candidates]})
    elif item is not None:
        results.print(_one(candidates[0]))
    else:
        results.print(_funnel(candidates))


def similar(
    item_id: Annotated[str, typer.Argument(help="The item.")],
    home: HomeOption = None,
    size: SizeOption = 10,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the items most like one."""
    with open_home(home, overrides, must_exist=True) as opened:
        found = opened.similar(item_id, size)
        if as_json:
            print_json([asdict(item) for item in found])
            return
        table = Table("", "item", "title", "score", "source")
        for item in found:
            table.add_row(
                str(item.position), item.item_id, _title(opened, item.item_id), f"{item.score:.4f}", item.source
            )
    results.print(table)


def _asked(
    user_id: str | None,
    size: int,
    history: str | None,
    where: list[str] | None,
    context: list[str] | None,
    weight: list[str] | None,
) -> dict[str, Any]:
    """Return what was asked as `Home.recommend` takes it."""
    past = [part.strip() for part in history.split(",") if part.strip()] if history is not None else None
    return {
        "user_id": user_id,
        "size": size,
        "history": past,
        "where": dict(pairs("--where", where)),
        "context": scalars("--context", context),
        "weights": numbers("--weight", weight),
    }


def slate_table(home: Home, answer: Answer) -> Table:
    """Return one slate as a table, with the items' titles where they have one."""
    cached = ", from the cache" if answer.cached else ""
    spent = answer.timing_ms.get("total", 0.0)
    table = Table(title=f"bundle {answer.bundle}, {spent:.1f} ms{cached}", title_justify="left")
    for column in ("", "item", "title", "score", "source"):
        table.add_column(column, justify="right" if column in ("", "score") else "left")
    for item in answer.items:
        table.add_row(str(item.position), item.item_id, _title(home, item.item_id), f"{item.score:.4f}", item.source)
    if answer.degraded:
        table.caption = "degraded: " + "; ".join(answer.degraded)
    return table


def _title(home: Home, item_id: str) -> str:
    return home.item(item_id).title or ""


def _funnel(candidates: tuple[ExplainedCandidate, ...]) -> Table:
    table = Table("retrieved", "item", "source", "outcome", "position", "why", "score")
    order = {"shown": 0, "reserve": 1, "dropped": 2}
    for c in sorted(candidates, key=lambda c: (order[c.outcome], c.position or 0, c.retrieval_position)):
        table.add_row(
            str(c.retrieval_position),
            c.item_id,
            c.source,
            c.outcome,
            "" if c.position is None else str(c.position),
            c.reason or c.dropped_by or "",
            "" if c.score is None else f"{c.score:.4f}",
        )
    return table


def _one(candidate: ExplainedCandidate) -> Table:
    table = Table("item", candidate.item_id, show_header=True)
    facts = asdict(candidate)
    for name in (
        "source",
        "retrieval_score",
        "retrieval_position",
        "outcome",
        "position",
        "reason",
        "propensity",
        "dropped_by",
        "score",
    ):
        if facts[name] is not None:
            table.add_row(name, str(facts[name]))
    for action, probability in candidate.probabilities.items():
        table.add_row(f"P({action})", f"{probability:.4f}")
    for feature, value in candidate.features.items():
        table.add_row(feature, f"{value:.4f}")
    return table

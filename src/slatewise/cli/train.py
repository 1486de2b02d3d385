"""`slatewise train`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from slatewise.cli.options import HomeOption, JsonOption, SetOption, open_home
from slatewise.cli.terminal import Bars, print_json, results


class Holdout(StrEnum):
    """What training may not see."""

    none = "none"
    last_item = "last-item"
    time = "time"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("train")(train)


def train(
    home: HomeOption = None,
    holdout: Annotated[
        Holdout, typer.Option(help="Keep back each user's last item, or the newest 15 %, for `evaluate`.")
    ] = Holdout.none,
    promote: Annotated[bool, typer.Option(help="Make the bundle live.")] = True,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train towers and ranker on the log and publish them as a bundle.

    Interrupt with Ctrl-C and run the same command again to go on from the last pass.

    Examples:

      slatewise train --home H

      slatewise train --home H --holdout last-item --set training.minutes=3
    """
    with open_home(home, overrides, must_exist=True) as opened, Bars() as bars:
        trained = opened.train(holdout=holdout.value, promote=promote, progress=bars)
    if as_json:
        print_json({"bundle": trained.bundle, "live": promote, **trained.facts})
    else:
        show(trained.bundle, trained.facts, promote)


def show(bundle: str, facts: dict[str, Any], live: bool) -> None:
    """Print what a training run made."""
    results.print(f"bundle [bold]{bundle}[/]{' is live' if live else ''}: {facts['kind']}, {facts['train_s']:.0f} s")
    index = facts["index"]
    results.print(f"  index    {index['kind']} of {index['items']:,} items, recall@100 {index['recall@100']:.4f}")
    linear = facts["linear"]
    lists = f"{linear['family']}, validation NDCG@10 {linear['validation_ndcg@10']:.4f}" if linear else "off"
    results.print(f"  lists    {lists}; {facts['plan']}")
    for line in _retriever(facts.get("retriever")):
        results.print(line)
    for line in _ranker(facts):
        results.print(line)


def _ranker(facts: dict[str, Any]) -> list[str]:
    """Say what the ranker reaches beside its rivals, and which actions it can say nothing of."""
    ranker = facts.get("ranker")
    if ranker is None:
        why = "there was too little to learn it from" if "retriever" in facts else "deep models were not trained"
        return [f"  ranker   none: {why}; retrieval's order stands"]
    trees = ranker["lambdarank_ndcg@10"]
    lines = [
        f"  ranker   NDCG@10 {ranker['validation_ndcg@10']:.4f} on held-back slates: "
        + ("shipped" if ranker["shipped"] else "not shipped, it does not beat retrieval"),
        f"  beside   small variant {ranker['small_ndcg@10']:.4f}, "
        + ("" if trees is None else f"boosted trees {trees:.4f}, ")
        + f"retrieval's order {ranker['retrieval_ndcg@10']:.4f}",
    ]
    silent = [name for name, found in ranker["calibration"].items() if not found["rate"]]
    if silent:
        lines.append(
            f"  silent   {', '.join(silent)}: no held-back slate led to that, so its weight counts for nothing "
            "(an interaction names its slate by request_id)"
        )
    return lines


def _retriever(judged: dict[str, Any] | None) -> list[str]:
    """Say what each encoder reaches on the validation, alone and with the neighbour lists, and which one retrieves."""
    if judged is None:
        return []
    lines = []
    for name, key in (("towers", "towers"), ("factors", "spectral")):
        alone, both = judged.get(f"{key}_ndcg@10"), judged.get(f"{key}_with_lists_ndcg@10")
        if alone is not None:
            lines.append(f"  {name:8} validation NDCG@10 {alone:.4f}, with lists {both:.4f}")
    return [
        *lines,
        f"  the {'towers' if judged['deep'] else 'factors'} retrieve, lists weigh {judged['lists_weight']:g}",
    ]

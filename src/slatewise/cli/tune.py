"""`slatewise tune`."""

from __future__ import annotations

from typing import Annotated

import typer

from slatewise.cli.options import HomeOption, JsonOption, SetOption, open_home
from slatewise.cli.terminal import Bars, print_json, results
from slatewise.cli.train import Holdout


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("tune")(tune)


def tune(
    home: HomeOption = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials in all, those of earlier runs included.")] = 20,
    minutes: Annotated[float, typer.Option(min=0.01, help="Time for the towers of one trial.")] = 3.0,
    holdout: Annotated[Holdout, typer.Option(help="What no trial may see, as in `train`.")] = Holdout.none,
    save: Annotated[bool, typer.Option(help="Write the best settings into HOME/slatewise.toml.")] = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for better tower settings than the present ones, judged on held-back interactions.

    Not needed: `train` chooses most by itself. Interrupt with Ctrl-C and run the same command again to go on.

    Examples:

      slatewise tune --home H --trials 20 --minutes 3

      slatewise tune --home H --trials 40 --save
    """
    given = [*(overrides or []), f"training.minutes={minutes:g}"]
    with open_home(home, given, must_exist=True) as opened, Bars() as bars:
        tuned = opened.tune(trials=trials, holdout=holdout.value, save=save, progress=bars)
    first = tuned.trials[0].ndcg
    if as_json:
        made = [{"ndcg@10": trial.ndcg, **trial.settings} for trial in tuned.trials]
        best = {"ndcg@10": tuned.best.ndcg, **tuned.best.settings}
        print_json({"best": best, "linear_ndcg@10": tuned.linear_ndcg, "trials": made})
        return
    known = "" if first is None else f", settings as they were {first:.4f}"
    results.print(f"best validation NDCG@10 {tuned.best.ndcg:.4f}{known}, linear model alone {tuned.linear_ndcg:.4f}")
    for name, value in tuned.best.settings.items():
        results.print(f"  training.{name} = {value:.4g}")
    results.print("saved in slatewise.toml" if save else "add --save to keep them, or pass them to train with --set")

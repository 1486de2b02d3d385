"""Runs a tuning over a HOME's log, draws it, and writes the best settings where they take effect."""

from __future__ import annotations

import tomllib
from pathlib import Path

from slatewise.domain.errors import ConfigError
from slatewise.training.tune import Tuned


def save_best(tuned: Tuned, path: Path) -> None:
    """Add the best trial to the settings file as its ``[training]`` table.

    Raises ConfigError where the file has such a table already: it is not ours to rewrite.
    """
    text = path.read_text("utf-8") if path.exists() else ""
    if "training" in tomllib.loads(text):
        raise ConfigError(f"{path} has a [training] table already: put these into it: {as_toml(tuned)}")
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{'' if not text or text.endswith(chr(10)) else chr(10)}\n[training]\n{as_toml(tuned)}\n")


def as_toml(tuned: Tuned) -> str:
    """Return the best trial's settings as lines of TOML."""
    return "\n".join(f"{name} = {value:.4g}" for name, value in tuned.best.settings.items())


def draw(tuned: Tuned, path: Path) -> bool:
    """Draw NDCG@10 by trial and the best so far; False where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    done = [(i + 1, trial.ndcg) for i, trial in enumerate(tuned.trials) if trial.ndcg is not None]
    axes.plot([i for i, _ in done], [ndcg for _, ndcg in done], "o", label="trial")
    best = [max(ndcg for j, ndcg in done if j <= i) for i, _ in done]
    axes.step([i for i, _ in done], best, where="post", label="best so far")
    axes.axhline(tuned.linear_ndcg, linestyle=":", color="grey", label="linear model alone")
    axes.set(xlabel="trial (the first: settings as they were)", ylabel="validation NDCG@10")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    figure.savefig(path)
    return True

"""Writes the trained modules as ONNX graphs. What comes in and goes out is fixed by the classes in `models`."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from slatewise.training.ranker_graph import RankOne
from slatewise.training.ranker_module import RankerModule, SmallRanker
from slatewise.training.tower_graph import LastStep
from slatewise.training.tower_modules import ItemTower, UserTower

OPSET = 20


class _SmallRankOne(nn.Module):
    def __init__(self, ranker: SmallRanker) -> None:
        super().__init__()
        self.ranker = ranker

    def forward(self, feature: Tensor) -> Tensor:
        return self.ranker.probabilities(self.ranker(feature[None]))[0]


def _export(
    module: nn.Module, inputs: dict[str, Tensor], outputs: list[str], axes: dict[str, dict[int, str]], path: Path
) -> None:
    module.eval()
    # Names are given to a trace's inputs by their place in the call.
    named = {name: inputs[name] for name in inspect.signature(module.forward).parameters}
    # The exporter by tracing: to be replaced by torch some day, and forty times as fast as its successor, which takes
    # ten seconds of every training. A trace keeps what Python decides: tests compare graph and module over shapes.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it will be replaced, and what of the shapes it takes as fixed
        torch.onnx.export(
            module,
            tuple(named.values()),
            str(path),
            input_names=list(named),
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )


def _history(dim: int, batch: int, steps: int) -> dict[str, Tensor]:
    return {
        "item": torch.zeros(batch, steps, dim),
        "action": torch.zeros(batch, steps, dtype=torch.int64),
        "gap": torch.zeros(batch, steps, dtype=torch.int64),
        "mask": torch.ones(batch, steps),
    }


def export_user_tower(tower: UserTower, dim: int, path: Path) -> None:
    """Write the user tower; batch, steps and tokens may vary. The graph reads ages only where the tower does."""
    inputs = _history(dim, 2, 3) | {
        "age": torch.zeros(2, 3),
        "user_token": torch.zeros(2, 4, dtype=torch.int64),
        "user_weight": torch.zeros(2, 4),
    }
    axes = {name: {0: "batch", 1: "steps"} for name in ("item", "action", "gap", "age", "mask")}
    axes |= {name: {0: "batch", 1: "tokens"} for name in ("user_token", "user_weight")}
    _export(LastStep(tower), inputs, ["user_vector"], axes, path)


def export_item_tower(tower: ItemTower, path: Path) -> None:
    """Write the item tower; items and tokens may vary."""
    inputs = {
        "known": torch.zeros(3, dtype=torch.int64),
        "token": torch.zeros(3, 4, dtype=torch.int64),
        "weight": torch.zeros(3, 4),
    }
    axes = {"known": {0: "items"}, "token": {0: "items", 1: "tokens"}, "weight": {0: "items", 1: "tokens"}}
    _export(tower, inputs, ["item_embedding", "item_vector"], axes, path)


def export_ranker(ranker: RankerModule | SmallRanker, dim: int, features: int, path: Path) -> None:
    """Write a ranker with its calibration; steps, tokens and candidates may vary. The small one reads only features."""
    feature = {"feature": torch.zeros(5, features)}
    axes = {"feature": {0: "candidates"}}
    if isinstance(ranker, SmallRanker):
        _export(_SmallRankOne(ranker), feature, ["probability"], axes, path)
        return
    inputs = _history(dim, 1, 3) | {
        "user": torch.zeros(1, dim),
        "user_token": torch.zeros(1, 4, dtype=torch.int64),
        "user_weight": torch.zeros(1, 4),
        "candidate": torch.zeros(5, dim),
    }
    axes |= {name: {1: "steps"} for name in ("item", "action", "gap", "mask")}
    axes |= {name: {1: "tokens"} for name in ("user_token", "user_weight")}
    axes |= {"candidate": {0: "candidates"}}
    _export(RankOne(ranker), inputs | feature, ["probability"], axes, path)

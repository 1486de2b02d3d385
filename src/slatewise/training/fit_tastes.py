"""Fits tastes on what was shown: vectors in which what users took lies near what they had taken.

Towers learn from what came next, and what comes next depends on what was shown. Of a slate, what was passed over says
as much as what was taken; and since most items are shown rarely, they share what their attributes say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from slatewise.models.taste_table import TasteTable, softened
from slatewise.ports.models import Bag
from slatewise.training.material import Material
from slatewise.training.progress import Progress
from slatewise.training.row_adam import RowAdam
from slatewise.training.shown import Shown
from slatewise.training.taste_module import Tastes

PASSES = 3
BATCH = 128
RATE = 3e-3
FASTER = 3.0
"""Single numbers, such as what a place is worth, move so much faster than vectors."""
JUDGES = 0.1
FOUND = 0.02
"""Weight of what was found without a slate: with much more of it, what is shown is told less well."""
OTHERS = 256
"""Items drawn evenly from the catalogue that what was found is told from, shared by a batch."""


@dataclass(slots=True)
class FittedTastes:
    """The fitted table, and its worth: log-losses on held-back users' slates, with tastes and of mean rates alone.

    Rates are those of each place where places are corrected for.
    """

    table: TasteTable
    passes: int
    loss: float = float("nan")
    loss_of_rates: float = float("nan")

    @property
    def earn_their_place(self) -> bool:
        return self.loss < self.loss_of_rates


def fit_tastes(
    shown: Shown,
    found: Shown,
    material: Material,
    dim: int,
    seed: int,
    progress: Progress,
    corrects_position: bool = True,
    passes: int | None = None,
) -> FittedTastes:
    """Fit on what was *shown*, and a little on what was *found* without a slate: slates of that one item.

    A tenth of the users judge the passes; where their number is given, all are learned from.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Tastes(material.n_items, material.item_tokens, dim, len(material.actions))
    model.place.requires_grad_(corrects_position)
    bags = Bag(material.items.token, softened(material.items.weight))
    users = np.unique(shown.user)
    judging = rng.permutation(users)[: round(users.size * JUDGES)] if passes is None else users[:0]
    judges = np.isin(shown.user, judging)
    train, judge = np.flatnonzero(~judges), np.flatnonzero(judges)
    free = np.flatnonzero(~np.isin(found.user, judging))
    best = FittedTastes(model.table(), 0)
    if judge.size:
        best.loss = best.loss_of_rates = _loss_of_rates(shown, train, judge, corrects_position)
    optimisers = _optimisers(model)
    planned, batches = PASSES if passes is None else passes, max(1, -(-train.size // BATCH))
    steps, step = planned * batches, 0
    for done in range(planned):
        model.train()
        parts = (np.array_split(rng.permutation(of), batches) for of in (train, free))
        for at, beside in zip(*parts, strict=True):
            for optimiser in optimisers:
                optimiser.zero_grad(set_to_none=True)
                for group in optimiser.param_groups:
                    group["lr"] = RATE * group["times"] * (1.0 - step / steps)
            step += 1
            loss = _loss(model, shown, at, bags)
            if beside.size:
                loss = loss + FOUND * _loss_of_found(model, found, beside, bags, rng)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            for optimiser in optimisers:
                optimiser.step()
            progress.step("tastes", step, steps)
        held = _held_back(model, shown, judge, bags)
        if not judge.size or held < best.loss:
            best = FittedTastes(model.table(), done + 1, held, best.loss_of_rates)
    note = f"log-loss {best.loss:.4f}, of mean rates {best.loss_of_rates:.4f}" if judge.size else ""
    progress.step("tastes", 1, 1, note)
    return best


def _optimisers(model: Tastes) -> list[torch.optim.Optimizer]:
    single = [model.nearness, model.nearness_found, model.offset, model.met]
    single += [model.place] if model.place.requires_grad else []
    dense: list[dict[str, Any]] = [
        {"params": [model.tokens.weight], "times": 1.0},
        {"params": single, "times": FASTER},
    ]
    rows: list[dict[str, Any]] = [
        {"params": [model.own.weight], "times": 1.0},
        {"params": [model.appeal.weight, model.appeal_found.weight], "times": FASTER},
    ]
    return [torch.optim.Adam(dense), RowAdam(rows)]


def _loss(model: Tastes, shown: Shown, at: np.ndarray, bags: Bag) -> Tensor:
    item, past = shown.item[at], shown.past[at]
    rows, place = np.unique(np.concatenate([item.ravel(), past.ravel()]).clip(0), return_inverse=True)
    item_at, past_at = map(torch.from_numpy, np.split(place, [item.size]))
    logits = model(
        Bag(bags.token[rows], bags.weight[rows]),
        torch.from_numpy(rows),
        item_at.view(item.shape),
        past_at.view(past.shape),
        torch.from_numpy(shown.weight[at]),
        torch.from_numpy(shown.met[at]),
    )
    held = torch.from_numpy((item >= 0).astype(np.float32))
    taken = torch.from_numpy(shown.taken[at])
    each = functional.binary_cross_entropy_with_logits(logits, taken, reduction="none")
    return (each * held).sum() / held.sum().clamp(min=1.0)


def _loss_of_found(model: Tastes, found: Shown, at: np.ndarray, bags: Bag, rng: np.random.Generator) -> Tensor:
    item, past, others = found.item[at, 0], found.past[at], rng.integers(0, len(bags.token), OTHERS)
    rows, place = np.unique(np.concatenate([item, past.ravel(), others]).clip(0), return_inverse=True)
    item_at, past_at, other_at = map(torch.from_numpy, np.split(place, [item.size, item.size + past.size]))
    return model.loss_of_found(
        Bag(bags.token[rows], bags.weight[rows]),
        torch.from_numpy(rows),
        item_at,
        past_at.view(past.shape),
        torch.from_numpy(found.weight[at]),
        other_at,
    )


@torch.no_grad()
def _held_back(model: Tastes, shown: Shown, judge: np.ndarray, bags: Bag) -> float:
    if not judge.size:
        return float("nan")
    model.eval()
    parts = [judge[lo : lo + 1024] for lo in range(0, judge.size, 1024)]
    held = [int((shown.item[part] >= 0).sum()) for part in parts]
    return float(np.average([float(_loss(model, shown, part, bags)) for part in parts], weights=held))


def _loss_of_rates(shown: Shown, train: np.ndarray, judge: np.ndarray, by_place: bool) -> float:
    """Return the log-loss on *judge* of the share that was taken in *train*, at each place or of all."""
    taken, of = shown.taken[train].sum(0), (shown.item[train] >= 0).sum(0)
    rate = (taken + 1.0) / (of + 2.0) if by_place else np.full(of.size, (taken.sum() + 1.0) / (of.sum() + 2.0))
    held, taken = shown.item[judge] >= 0, shown.taken[judge] > 0
    each = -np.log(np.where(taken, rate, 1.0 - rate))
    return float(each[held].mean()) if held.any() else float("nan")

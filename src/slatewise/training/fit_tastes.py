"""Fits tastes on what was shown: vectors in which what users took lies near what they had taken.

Towers learn from what came next, and what comes next depends on what was shown. Of a slate, what was passed over says
as much as what was taken; and since most items are shown rarely, they share what their attributes say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from slatewise.models.taste_table import SMALLEST, TasteTable, softened
from slatewise.ports.models import Bag
from slatewise.training.material import Material
from slatewise.training.progress import Progress
from slatewise.training.row_adam import RowAdam
from slatewise.training.shown import Shown

PASSES = 3
BATCH = 128
RATE = 3e-3
FASTER = 3.0
"""Single numbers, such as what a place is worth, move so much faster than vectors."""
TOKEN_STD, OWN_STD = 0.1, 0.01
OWN_DROPOUT = 0.6
"""Share of items whose vectors must do with their attributes in each batch. Appeal is always an item's own as well."""
JUDGES = 0.1
START = 3.0
"""What nearness is worth in log-odds, to begin with."""
PLACES = 50


@dataclass(slots=True)
class FittedTastes:
    """The fitted table, and its worth: log-losses on held-back users' slates, of places alone and with tastes."""

    table: TasteTable
    passes: int
    loss: float = float("nan")
    loss_of_places: float = float("nan")

    @property
    def earn_their_place(self) -> bool:
        return self.loss < self.loss_of_places


class Tastes(nn.Module):
    """Log-odds that a shown item is taken: nearness to lasting taste and visit, appeal, place, and what was before.

    Factorisation by a user's history instead of a user's vector (FISM: Kabbur et al., KDD 2013), items by attributes
    and a residual (LightFM: Kula, 2015), places by a number each, which serving leaves out (PAL: Guo et al., 2019).
    """

    def __init__(self, n_items: int, tokens: int, dim: int, actions: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(tokens, dim + 1, padding_idx=0)
        self.own = nn.Embedding(n_items, dim, sparse=True)
        self.appeal = nn.Embedding(n_items, 1, sparse=True)
        nn.init.normal_(self.tokens.weight, std=TOKEN_STD)
        nn.init.normal_(self.own.weight, std=OWN_STD)
        nn.init.zeros_(self.appeal.weight)
        with torch.no_grad():
            self.tokens.weight[0] = 0.0
            self.tokens.weight[:, -1] = 0.0
        self.nearness = nn.Parameter(torch.full((2,), START))
        self.place = nn.Parameter(torch.zeros(PLACES))
        self.met = nn.Parameter(torch.zeros(actions + 1))
        self.offset = nn.Parameter(torch.tensor(-START))

    def forward(self, bags: Bag, rows: Tensor, item: Tensor, past: Tensor, weight: Tensor, met: Tensor) -> Tensor:
        """Return log-odds ``(b, s)``. *rows* ``(m,)`` are the distinct items and *bags* theirs; *item* ``(b, s)`` and
        *past* ``(b, t)`` are places among them; *weight* and *met* as in `Shown`."""
        own = self.own(rows)
        if self.training:
            own = own * (torch.rand(len(rows), 1) >= OWN_DROPOUT)
        said = (self.tokens(torch.from_numpy(bags.token)) * torch.from_numpy(bags.weight)[..., None]).sum(1)
        vector = functional.normalize(said[:, :-1] + own, dim=-1, eps=SMALLEST)
        appeal = said[:, -1] + self.appeal(rows)[:, 0]
        wish = (self.nearness[:, None] * (weight @ vector[past])).sum(1)
        near = torch.einsum("bsd,bd->bs", vector[item], wish)
        place = self.place[torch.arange(item.shape[1]).clamp(max=PLACES - 1)]
        logits: Tensor = near + appeal[item] + place + met @ self.met + self.offset
        return logits


def fit_tastes(
    shown: Shown,
    material: Material,
    dim: int,
    seed: int,
    progress: Progress,
    corrects_position: bool = True,
    passes: int | None = None,
) -> FittedTastes:
    """Fit on *shown*. A tenth of the users judge the passes; where their number is given, all are learned from."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Tastes(material.n_items, material.item_tokens, dim, len(material.actions))
    model.place.requires_grad_(corrects_position)
    bags = Bag(material.items.token, softened(material.items.weight))
    users = np.unique(shown.user)
    judges = np.isin(shown.user, rng.permutation(users)[: round(users.size * JUDGES)]) & (passes is None)
    train, judge = np.flatnonzero(~judges), np.flatnonzero(judges)
    planned = PASSES if passes is None else passes
    single = [model.nearness, model.offset, model.met, *([model.place] if corrects_position else [])]
    dense = [{"params": [model.tokens.weight], "times": 1.0}, {"params": single, "times": FASTER}]
    lazy: list[dict[str, Any]] = [
        {"params": [model.own.weight], "times": 1.0},
        {"params": [model.appeal.weight], "times": FASTER},
    ]
    optimisers = [torch.optim.Adam(dense), RowAdam(lazy)]
    best = FittedTastes(_table(model), 0)
    if judge.size:
        best.loss = best.loss_of_places = _loss_of_places(shown, train, judge)
    steps = planned * -(-train.size // BATCH)
    step = 0
    for done in range(planned):
        model.train()
        order = rng.permutation(train)
        for lo in range(0, order.size, BATCH):
            rate = RATE * (1.0 - step / steps)
            step += 1
            for optimiser in optimisers:
                optimiser.zero_grad(set_to_none=True)
                for group in optimiser.param_groups:
                    group["lr"] = rate * group["times"]
            loss = _loss(model, shown, order[lo : lo + BATCH], bags)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            for optimiser in optimisers:
                optimiser.step()
            progress.step("tastes", step, steps)
        held = _held_back(model, shown, judge, bags)
        if not judge.size or held < best.loss:
            best = FittedTastes(_table(model), done + 1, held, best.loss_of_places)
    progress.step(
        "tastes", 1, 1, f"log-loss {best.loss:.4f}, of places {best.loss_of_places:.4f}" if judge.size else ""
    )
    return best


def _loss(model: Tastes, shown: Shown, at: np.ndarray, bags: Bag) -> Tensor:
    item, past = shown.item[at], shown.past[at]
    rows, place = np.unique(np.concatenate([item.ravel(), past.ravel()]).clip(0), return_inverse=True)
    item_at, past_at = np.split(torch.from_numpy(place), [item.size])
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


@torch.no_grad()
def _held_back(model: Tastes, shown: Shown, judge: np.ndarray, bags: Bag) -> float:
    if not judge.size:
        return float("nan")
    model.eval()
    parts = [judge[lo : lo + 1024] for lo in range(0, judge.size, 1024)]
    held = [int((shown.item[part] >= 0).sum()) for part in parts]
    return float(np.average([float(_loss(model, shown, part, bags)) for part in parts], weights=held))


def _loss_of_places(shown: Shown, train: np.ndarray, judge: np.ndarray) -> float:
    """Return the log-loss on *judge* of the share that was taken at each place of *train*."""
    rate = (shown.taken[train].sum(0) + 1.0) / ((shown.item[train] >= 0).sum(0) + 2.0)
    held, taken = shown.item[judge] >= 0, shown.taken[judge] > 0
    each = -np.log(np.where(taken, rate, 1.0 - rate))
    return float(each[held].mean()) if held.any() else float("nan")


@torch.no_grad()
def _table(model: Tastes) -> TasteTable:
    own = torch.cat([model.own.weight, model.appeal.weight], 1)
    return TasteTable(model.tokens.weight.numpy().copy(), own.numpy())

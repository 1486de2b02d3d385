"""Fits the two towers: next-item prediction over windows of history, by sampled softmax over unit vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from slatewise.domain.settings import TrainingSettings
from slatewise.models.spectral import SpectralFactors
from slatewise.ports.models import Bag
from slatewise.training.blocks import rows_of
from slatewise.training.contrast import contrast
from slatewise.training.material import Histories, HistoryChunks, Material
from slatewise.training.moments import is_replayable
from slatewise.training.negatives import NegativeSampler
from slatewise.training.row_adam import RowAdam
from slatewise.training.tower_graph import LastStep
from slatewise.training.tower_modules import INIT_STD, ItemTower, TwoTower, UserTower
from slatewise.training.windows import Batch, Padded, batches

SPARSE_FROM = 20_000
"""Catalogue size from which id embeddings get sparse updates: dense Adam over big tables is mostly wasted."""

ID_DROPOUT = 0.1
"""Share of items per batch that must do with their attributes, so that unseen items' vectors mean something."""

AT_ONCE = 32
"""Histories encoded at once."""


@dataclass(slots=True)
class TowerFit:
    """Fitted towers and how it went. ``curve`` has one entry per pass: loss and validation NDCG@10."""

    model: TwoTower
    curve: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0


class TowerData:
    """A material as tensors, made once: bags of every item with id 0 in front.

    *histories* are what a pass goes over; without any, those of the material's interactions, in memory.
    """

    def __init__(self, material: Material, histories: HistoryChunks | None = None) -> None:
        self.material = material
        self._histories = histories
        blank = np.zeros((1, material.items.token.shape[1]))
        self.token = torch.from_numpy(np.vstack([blank.astype(np.int64), material.items.token]))
        self.weight = torch.from_numpy(np.vstack([blank.astype(np.float32), material.items.weight]))
        self.has_attributes = (self.weight != 0).any(1).numpy()

    @cached_property
    def histories(self) -> HistoryChunks:
        """What a pass goes over. Sorted when first asked for: encoding items needs no histories."""
        return self._histories if self._histories is not None else Histories.of(self.material.interactions)

    def encode(self, model: TwoTower, known: Tensor) -> tuple[Tensor, Tensor]:
        """Return embedding and vector of the items with these ids (row + 1)."""
        embedding, vector = model.item(known, self.token[known], self.weight[known])
        return embedding, vector


def new_towers(material: Material, factors: SpectralFactors, settings: TrainingSettings) -> TwoTower:
    """Return untrained towers whose id embeddings start at the spectral directions."""
    torch.manual_seed(settings.seed)
    item = ItemTower(material.n_items, material.item_tokens, settings.dim, material.n_items >= SPARSE_FROM)
    user = UserTower(
        settings.dim,
        len(material.actions),
        material.user_tokens,
        settings.history_length,
        settings.layers,
        settings.heads,
        settings.dropout,
        timed=is_replayable(material.interactions),
    )
    direction = torch.from_numpy(factors.output)
    norm = direction.norm(dim=1, keepdim=True)
    with torch.no_grad():
        start = direction / norm.clamp(min=1e-9) * (INIT_STD * math.sqrt(settings.dim))
        item.ids.weight[1 : 1 + len(start)] = torch.where(norm > 0, start, item.ids.weight[1 : 1 + len(start)])
    return TwoTower(item, user)


class TowerTrainer:
    """One training run over one material; `passes` may be called again to go on with other data."""

    def __init__(self, model: TwoTower, data: TowerData, settings: TrainingSettings) -> None:
        self.model = model
        self.data = data
        self.settings = settings
        self.rng = np.random.default_rng(settings.seed)
        self.negatives = NegativeSampler(data.histories.counts(data.material.n_items), settings.negatives)
        sparse = [p for p in (model.item.ids.weight,) if model.item.ids.sparse]
        dense = [p for p in model.parameters() if not any(p is s for s in sparse)]
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(dense, weight_decay=0.0, betas=(0.9, 0.98), fused=True)
        ]
        if sparse:
            self.optimisers.append(RowAdam(sparse, betas=(0.9, 0.98)))

    def one_pass(self, rate: Callable[[float], float | None]) -> float | None:
        """Go over all histories once; *rate* maps the share of the pass done to a learning rate, None to stop.

        Returns the mean loss, None when stopped before the end.
        """
        total = max(1, self.data.histories.size)
        done, losses = 0, []
        self.model.train()
        for batch in self.batches():
            lr = rate(min(1.0, done / total))
            if lr is None:
                return None
            losses.append(self.update(batch, lr))
            done += int((batch.row >= 0).sum())
        return float(np.mean(losses)) if losses else 0.0

    def batches(self) -> Iterator[Batch]:
        """Yield one pass over all histories."""
        settings, histories = self.settings, self.data.histories
        shape = (settings.history_length, settings.batch_size)
        for chunk in histories.chunks(self.rng):
            yield from batches(chunk, self.data.material.positive, *shape, histories.is_ordered, self.rng)

    def update(self, batch: Batch, lr: float) -> float:
        """Take one step at the learning rate *lr*; return the batch's loss before it."""
        loss = self._loss(batch)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = lr
            optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        dense = [p for p in self.model.parameters() if p.grad is not None and not p.grad.is_sparse]
        nn.utils.clip_grad_norm_(dense, 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        return float(loss.detach())

    def _loss(self, batch: Batch) -> Tensor:
        data, temperature = self.data, self.settings.temperature
        negative, log_expected = self.negatives.draw(self.rng)
        ids = np.concatenate([batch.row.ravel() + 1, negative + 1])
        distinct, place = np.unique(ids, return_inverse=True)
        known = np.where((self.rng.random(distinct.size) < ID_DROPOUT) & data.has_attributes[distinct], 0, distinct)
        picked = torch.from_numpy(distinct)
        embedding, vector = self.model.item(torch.from_numpy(known), data.token[picked], data.weight[picked])
        at = place[: batch.row.size].reshape(batch.row.shape)
        bag = data.material.user_bags(batch.user)
        steps = self.model.user.steps(
            rows_of(embedding, torch.from_numpy(at[:, :-1])),
            torch.from_numpy(batch.action[:, :-1]),
            torch.from_numpy(batch.gap[:, :-1]),
            torch.from_numpy(batch.age[:, :-1]),
            torch.from_numpy((batch.row[:, :-1] >= 0).astype(np.float32)),
            torch.from_numpy(bag.token),
            torch.from_numpy(bag.weight),
        )
        wanted = np.flatnonzero(batch.wanted)
        target, others = place[wanted], place[batch.row.size :]
        return contrast(
            steps.flatten(0, 1).index_select(0, torch.from_numpy(wanted)),
            vector.index_select(0, torch.from_numpy(target)),
            vector.index_select(0, torch.from_numpy(others)),
            torch.from_numpy(log_expected),
            torch.from_numpy(_clashes(target, others)),
            temperature,
        )


def _clashes(target: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the (example, negative) pairs that are one item, ``(c, 2)``. Negatives are distinct and ascending."""
    at = np.minimum(np.searchsorted(others, target), others.size - 1)
    example = np.flatnonzero(others[at] == target)
    return np.stack([example, at[example]], 1)


@torch.no_grad()
def item_arrays(model: TwoTower, data: TowerData) -> tuple[np.ndarray, np.ndarray]:
    """Return all items' input embeddings and vectors, ``(n_items, d)`` each."""
    model.eval()
    ids = torch.arange(1, data.material.n_items + 1)
    parts = [data.encode(model, chunk) for chunk in torch.split(ids, 20_000)]
    return torch.cat([e for e, _ in parts]).numpy(), torch.cat([v for _, v in parts]).numpy()


@torch.no_grad()
def user_vectors(tower: LastStep, embeddings: np.ndarray, past: Padded, bag: Bag) -> np.ndarray:
    """Return the vectors after these histories; shape ``(b, d)``.

    A few at once, about as long ones together: attention compares all pairs of steps, which for many long histories
    leaves the processor's cache (three times the time), and for short ones beside a long one compares padding.
    """
    steps = (past.row >= 0).sum(1)
    vectors = np.empty((len(steps), embeddings.shape[1]), np.float32)
    order = np.argsort(steps, kind="stable")
    for lo in range(0, order.size, AT_ONCE):
        at = order[lo : lo + AT_ONCE]
        width = np.arange(max(1, int(steps[at[-1]])))
        vectors[at] = _encoded(tower, embeddings, past.take(np.ix_(at, width)), Bag(bag.token[at], bag.weight[at]))
    return vectors


def _encoded(tower: LastStep, embeddings: np.ndarray, past: Padded, bag: Bag) -> np.ndarray:
    held = past.row >= 0
    vector: Tensor = tower(
        torch.from_numpy(embeddings[np.maximum(past.row, 0)] * held[..., None]),
        torch.from_numpy(past.action),
        torch.from_numpy(past.gap),
        torch.from_numpy(past.age),
        torch.from_numpy(held.astype(np.float32)),
        torch.from_numpy(bag.token),
        torch.from_numpy(bag.weight),
    )
    return vector.numpy()

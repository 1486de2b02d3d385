"""Fits the two towers: next-item prediction over windows of history, by sampled softmax over unit vectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from slatewise.domain.settings import TrainingSettings
from slatewise.models.spectral import SpectralFactors
from slatewise.ports.models import Bag
from slatewise.training.material import Histories, Material
from slatewise.training.negatives import NegativeSampler
from slatewise.training.tower_modules import INIT_STD, ItemTower, TwoTower, UserTower
from slatewise.training.windows import Batch, batches

SPARSE_FROM = 20_000
"""Catalogue size from which id embeddings get sparse updates: dense Adam over big tables is mostly wasted."""

ID_DROPOUT = 0.1
"""Share of items per batch that must do with their attributes, so that unseen items' vectors mean something."""


@dataclass(slots=True)
class TowerFit:
    """Fitted towers and how it went. ``curve`` has one entry per pass: loss and validation NDCG@10."""

    model: TwoTower
    curve: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0


class TowerData:
    """A material as tensors, made once: bags of every item with id 0 in front, and popularity for the negatives."""

    def __init__(self, material: Material) -> None:
        self.material = material
        blank = np.zeros((1, material.items.token.shape[1]))
        self.token = torch.from_numpy(np.vstack([blank.astype(np.int64), material.items.token]))
        self.weight = torch.from_numpy(np.vstack([blank.astype(np.float32), material.items.weight]))
        self.has_attributes = (self.weight.sum(1) > 0).numpy()
        self.histories = Histories.of(material.interactions)
        self.counts = np.bincount(material.interactions.item, minlength=material.n_items)

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
        self.negatives = NegativeSampler(data.counts, settings.negatives)
        sparse = [p for p in (model.item.ids.weight,) if model.item.ids.sparse]
        dense = [p for p in model.parameters() if not any(p is s for s in sparse)]
        self.optimisers: list[torch.optim.Optimizer] = [torch.optim.AdamW(dense, weight_decay=0.0, betas=(0.9, 0.98))]
        if sparse:
            self.optimisers.append(torch.optim.SparseAdam(sparse, betas=(0.9, 0.98)))

    def one_pass(self, rate: Callable[[float], float | None]) -> float | None:
        """Go over all histories once; *rate* maps the share of the pass done to a learning rate, None to stop.

        Returns the mean loss, None when stopped before the end.
        """
        settings, data = self.settings, self.data
        ordered = data.material.interactions.is_ordered
        total = max(1, len(data.material.interactions))
        done, losses = 0, []
        self.model.train()
        for batch in batches(
            data.histories, data.material.positive, settings.history_length, settings.batch_size, ordered, self.rng
        ):
            lr = rate(min(1.0, done / total))
            if lr is None:
                return None
            losses.append(self._update(batch, lr))
            done += int((batch.row >= 0).sum())
        return float(np.mean(losses)) if losses else 0.0

    def _update(self, batch: Batch, lr: float) -> float:
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
        at = torch.from_numpy(place[: batch.row.size].reshape(batch.row.shape))
        bag = data.material.user_bags(batch.user)
        steps = self.model.user.steps(
            embedding[at[:, :-1]],
            torch.from_numpy(batch.action[:, :-1]),
            torch.from_numpy(batch.gap[:, :-1]),
            torch.from_numpy((batch.row[:, :-1] >= 0).astype(np.float32)),
            torch.from_numpy(bag.token),
            torch.from_numpy(bag.weight),
        )
        wanted = torch.from_numpy(batch.wanted)
        user, target = steps[wanted], at[wanted]
        others = torch.from_numpy(place[batch.row.size :])
        right = (user * vector[target]).sum(-1) / temperature
        # logQ correction (Bengio & Senecal 2008; Yi et al., RecSys 2019): each negative stands for 1 / expected count.
        wrong = user @ vector[others].T / temperature - torch.from_numpy(log_expected)
        wrong = wrong.masked_fill(others[None] == target[:, None], -1e9)
        loss: Tensor = torch.logsumexp(torch.cat([right[:, None], wrong], 1), 1) - right
        return loss.mean()


@torch.no_grad()
def item_arrays(model: TwoTower, data: TowerData) -> tuple[np.ndarray, np.ndarray]:
    """Return all items' input embeddings and vectors, ``(n_items, d)`` each."""
    model.eval()
    ids = torch.arange(1, data.material.n_items + 1)
    parts = [data.encode(model, chunk) for chunk in torch.split(ids, 20_000)]
    return torch.cat([e for e, _ in parts]).numpy(), torch.cat([v for _, v in parts]).numpy()


@torch.no_grad()
def user_vectors(
    model: TwoTower, embeddings: np.ndarray, rows: np.ndarray, action: np.ndarray, gap: np.ndarray, bag: Bag
) -> np.ndarray:
    """Return the vectors after right-padded histories ``(b, t)`` (row -1 = padding); shape ``(b, d)``."""
    model.eval()
    held = rows >= 0
    vector: Tensor = model.user(
        torch.from_numpy(embeddings[np.maximum(rows, 0)] * held[..., None]),
        torch.from_numpy(action),
        torch.from_numpy(gap),
        torch.from_numpy(held.astype(np.float32)),
        torch.from_numpy(bag.token),
        torch.from_numpy(bag.weight),
    )
    return vector.numpy()

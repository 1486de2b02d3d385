"""The deep ranker as a PyTorch module: history encoded once, candidates attend to it, crosses and an MLP on top."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from slatewise.features.sequences import GAP_BUCKETS
from slatewise.training.blocks import HIDDEN, PointwiseAttention

CROSS_RANK = 32
CROSS_LAYERS = 2
MLP_WIDTHS = (256, 128)
HEADS = 4
SIDE = 32
AFFINITY = 0
"""The feature column that the residual carries: the towers' own opinion."""


class CrossNetwork(nn.Module):
    """Low-rank feature crosses: x_{l+1} = x_0 * (U V x_l + b) + x_l (DCN-v2: Wang et al., WWW 2021, section 3.2)."""

    def __init__(self, width: int, rank: int, layers: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Linear(width, rank, bias=False) for _ in range(layers))
        self.up = nn.ModuleList(nn.Linear(rank, width) for _ in range(layers))

    def forward(self, first: Tensor) -> Tensor:
        """Map ``(..., width)`` to the same shape."""
        x = first
        for down, up in zip(self.down, self.up, strict=True):
            x = first * up(down(x)) + x
        return x


class TargetAttention(nn.Module):
    """Each candidate asks the encoded history what of it matters (DIN: Zhou et al., KDD 2018), by multi-head attention.

    Candidates never see each other. A learned null step is always there, so an empty history has an answer.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ask = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.null = nn.Parameter(torch.randn(dim) * 0.02)

    def forward(self, candidate: Tensor, history: Tensor, mask: Tensor) -> Tensor:
        """Map candidates ``(b, k, d)`` and history ``(b, t, d)`` with mask ``(b, t)`` to ``(b, k, d)``."""
        b, k, d = candidate.shape
        null = self.null.expand(b, 1, d)
        steps = torch.cat([null, history], 1)
        held = torch.cat([torch.ones_like(mask[:, :1]), mask], 1)

        def split(x: Tensor) -> Tensor:
            return x.reshape(b, -1, self.heads, d // self.heads).transpose(1, 2)

        q, key, value = split(self.ask(candidate)), split(self.key(steps)), split(self.value(steps))
        weight = q @ key.transpose(-1, -2) / math.sqrt(d // self.heads)
        weight = weight + (held[:, None, None] - 1.0) * 1e9
        return (weight.softmax(-1) @ value).transpose(1, 2).reshape(b, k, d)


class RankerModule(nn.Module):
    """Scores ``(b, k)`` candidates, one logit per action. Item and user vectors come from the frozen towers.

    No id embeddings of its own: on histories of ordinary length those memorise and lose on what is new.
    """

    mean: Tensor
    std: Tensor
    slope: Tensor
    offset: Tensor

    def __init__(self, dim: int, features: int, actions: int, heads: int, dropout: float, length: int) -> None:
        super().__init__()
        self.length = length
        self.history = nn.Linear(dim, dim)
        self.actions = nn.Embedding(actions, dim)
        self.gaps = nn.Embedding(GAP_BUCKETS, dim)
        self.recency = nn.Embedding(length, dim)
        for embedding in (self.actions, self.gaps, self.recency):
            nn.init.normal_(embedding.weight, std=0.02)
        self.block = PointwiseAttention(dim, HEADS, length, dropout)
        self.attention = TargetAttention(dim, HEADS)
        self.candidate = nn.Linear(dim, SIDE)
        self.user = nn.Linear(dim, SIDE)
        self.product = nn.Linear(dim, SIDE)
        width = 2 * features + 3 * SIDE + dim
        self.cross = CrossNetwork(width, CROSS_RANK, CROSS_LAYERS)
        self.mlp = nn.Sequential(
            nn.Linear(width, MLP_WIDTHS[0]), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(MLP_WIDTHS[0], MLP_WIDTHS[1]), nn.GELU(), nn.Dropout(dropout),
        )  # fmt: skip
        self.heads = nn.Linear(width + MLP_WIDTHS[1], heads)
        self.residual = nn.Parameter(torch.ones(heads))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.register_buffer("slope", torch.ones(heads))
        self.register_buffer("offset", torch.zeros(heads))

    def forward(
        self, item: Tensor, action: Tensor, gap: Tensor, mask: Tensor, user: Tensor, candidate: Tensor, feature: Tensor
    ) -> Tensor:
        """Return logits ``(b, k, heads)``; item is ``(b, t, d)``, candidate ``(b, k, d)``, feature ``(b, k, f)``."""
        missing = torch.isnan(feature)
        value = torch.where(missing, torch.zeros_like(feature), (feature - self.mean) / self.std).clamp(-5.0, 5.0)
        attended = self.attention(candidate, self._encoded(item, action, gap, mask), mask)
        users = user[:, None].expand_as(candidate)
        x = torch.cat(
            [
                value,
                missing.to(value.dtype),
                self.candidate(candidate),
                self.user(users),
                self.product(users * candidate),
                attended,
            ],
            -1,
        )
        logits: Tensor = self.heads(torch.cat([self.cross(x), self.mlp(x)], -1))
        return logits + self.residual * value[..., AFFINITY : AFFINITY + 1]

    def _encoded(self, item: Tensor, action: Tensor, gap: Tensor, mask: Tensor) -> Tensor:
        t = item.shape[1]
        place = torch.arange(t, device=item.device)
        age = (mask.sum(1, keepdim=True).to(torch.int64) - 1 - place[None]).clamp(min=0)
        x = (self.history(item) + self.actions(action) + self.gaps(gap) + self.recency(age)) * mask[..., None]
        distance = (place[:, None] - place[None]).abs()
        encoded: Tensor = self.block(x, (1.0 - mask[:, None, None, :]) * HIDDEN, distance)
        return encoded

    def probabilities(self, logits: Tensor) -> Tensor:
        """Map logits to calibrated probabilities (Platt scaling per head, fitted on held-back slates)."""
        return torch.sigmoid(logits * self.slope + self.offset)

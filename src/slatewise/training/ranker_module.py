"""The deep ranker as PyTorch modules: history encoded once, candidates attend to it, crosses and a gated MLP on top."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from slatewise.features.sequences import GAP_BUCKETS
from slatewise.training.blocks import HIDDEN, PointwiseAttention
from slatewise.training.feature_input import FeatureInput

CROSS_RANK = 32
CROSS_LAYERS = 1
MLP_WIDTHS = (256, 128)
HEADS = 4
SIDE = 32
BINS = 6
"""Pieces that each number is cut into. Twelve, and a second cross layer, cost a fifth of the time and found nothing."""
GATE_WIDTHS = (512, 512)
SMALL_WIDTH = 64
SMALL_BINS = 8
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


class RequestGates(nn.Module):
    """What a request makes of the hidden units: one factor in (0, 2) each, 1 to begin with.

    Runs once per request, not per candidate, so most of the ranker's parameters cost next to nothing at serving
    (learned hidden unit contributions: Swietojanski & Renals, SLT 2014; in rankers: PEPNet, Chang et al., KDD 2023).
    """

    def __init__(self, width: int, hidden: tuple[int, ...], units: int, dropout: float) -> None:
        super().__init__()
        first, second = hidden
        self.body = nn.Sequential(
            nn.Linear(width, first), nn.GELU(), nn.Dropout(dropout), nn.Linear(first, second), nn.GELU()
        )
        self.out = nn.Linear(second, units)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, request: Tensor) -> Tensor:
        """Map ``(b, width)`` to ``(b, units)``."""
        gates: Tensor = 2.0 * torch.sigmoid(self.out(self.body(request)))
        return gates


class Calibrated(nn.Module):
    """Heads with an origin: logits to probabilities by slope and offset per head."""

    slope: Tensor
    offset: Tensor

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.register_buffer("slope", torch.ones(heads))
        self.register_buffer("offset", torch.zeros(heads))

    def probabilities(self, logits: Tensor) -> Tensor:
        """Map logits to calibrated probabilities (Platt scaling per head, fitted on held-back slates)."""
        return torch.sigmoid(logits * self.slope + self.offset)


class Heads(nn.Module):
    """One logit per action: what wanting an item has in common, and what each action has of its own, at first nothing.

    Few lists hold all actions, and what the one kind teaches of an item holds for the others until they say otherwise.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.common = nn.Linear(width, 1)
        self.own = nn.Linear(width, heads)
        nn.init.zeros_(self.own.weight)
        nn.init.zeros_(self.own.bias)

    @property
    def weight(self) -> Tensor:
        """Both as one layer's weights, ``(heads, width)``."""
        return self.common.weight + self.own.weight

    @property
    def bias(self) -> Tensor:
        """Both as one layer's biases, ``(heads,)``."""
        return self.common.bias + self.own.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., width)`` to ``(..., heads)``."""
        return functional.linear(x, self.weight, self.bias)


class RankerModule(Calibrated):
    """Scores ``(b, k)`` candidates, one logit per action. Item and user vectors come from the frozen towers.

    No id embeddings of its own: on histories of ordinary length those memorise and lose on what is new. *tokens* is
    the vocabulary of the users' attributes and the requests' contexts.
    """

    def __init__(
        self, dim: int, features: int, actions: int, tokens: int, heads: int, dropout: float, length: int
    ) -> None:
        super().__init__(heads)
        self.length = length
        self.history = nn.Linear(dim, dim)
        self.actions = nn.Embedding(actions, dim)
        self.gaps = nn.Embedding(GAP_BUCKETS, dim)
        self.recency = nn.Embedding(length, dim)
        self.tokens = nn.Embedding(tokens, SIDE)
        for embedding in (self.actions, self.gaps, self.recency, self.tokens):
            nn.init.normal_(embedding.weight, std=0.02)
        self.block = PointwiseAttention(dim, HEADS, length, dropout)
        self.attention = TargetAttention(dim, HEADS)
        self.candidate = nn.Linear(dim, SIDE)
        self.product = nn.Linear(dim, SIDE)
        self.numbers = FeatureInput(features, BINS)
        # Crosses of single pieces of a line would cost most and say little: they see the whole numbers.
        crossed = 2 * features + 2 * SIDE + dim
        self.cross = CrossNetwork(crossed, CROSS_RANK, CROSS_LAYERS)
        self.first = nn.Linear(self.numbers.width + 2 * SIDE + dim, MLP_WIDTHS[0])
        self.second = nn.Linear(MLP_WIDTHS[0], MLP_WIDTHS[1])
        self.dropout = nn.Dropout(dropout)
        self.gates = RequestGates(2 * dim + SIDE, GATE_WIDTHS, sum(MLP_WIDTHS), dropout)
        self.heads = Heads(crossed + MLP_WIDTHS[1], heads)
        self.residual = nn.Parameter(torch.ones(heads))
        self.asked = nn.Linear(SIDE, dim, bias=False)
        self.lasting = nn.Linear(dim, dim, bias=False)
        nn.init.zeros_(self.lasting.weight)

    def forward(
        self,
        item: Tensor,
        action: Tensor,
        gap: Tensor,
        mask: Tensor,
        user: Tensor,
        user_token: Tensor,
        user_weight: Tensor,
        candidate: Tensor,
        feature: Tensor,
    ) -> Tensor:
        """Return logits ``(b, k, heads)``; item is ``(b, t, d)``, candidate ``(b, k, d)``, feature ``(b, k, f)``."""
        steps = self._encoded(item, action, gap, mask)
        numbers, pieces = self.numbers(feature)
        attributes = (self.tokens(user_token) * user_weight[..., None]).sum(1)
        # Gates scale hidden units for all candidates alike, and what suits a surface is a direction among the items:
        # attributes and context move the user's vector before it meets each of them. Costs nothing per candidate.
        # So does the mean of the history, taken evenly: a vector that says what comes next forgets the lasting taste.
        even = (item * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1.0)
        wish = user + self.asked(attributes) + self.lasting(even)
        x = torch.cat(
            [
                numbers,
                self.candidate(candidate),
                self.product(wish[:, None] * candidate),
                self.attention(candidate, steps, mask),
            ],
            -1,
        )
        pooled = (steps * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1.0)
        gate = self.gates(torch.cat([user, pooled, attributes], -1))[:, None]
        y = functional.gelu(self.first(torch.cat([x, pieces], -1))) * gate[..., : MLP_WIDTHS[0]]
        y = functional.gelu(self.second(self.dropout(y))) * gate[..., MLP_WIDTHS[0] :]
        logits: Tensor = self.heads(torch.cat([self.cross(x), self.dropout(y)], -1))
        logits = logits + self.residual * numbers[..., AFFINITY : AFFINITY + 1]
        return logits

    def _encoded(self, item: Tensor, action: Tensor, gap: Tensor, mask: Tensor) -> Tensor:
        t = item.shape[1]
        place = torch.arange(t, device=item.device)
        age = (mask.sum(1, keepdim=True).to(torch.int64) - 1 - place[None]).clamp(min=0)
        x = (self.history(item) + self.actions(action) + self.gaps(gap) + self.recency(age)) * mask[..., None]
        distance = (place[:, None] - place[None]).abs()
        encoded: Tensor = self.block(x, (1.0 - mask[:, None, None, :]) * HIDDEN, distance)
        return encoded


class SmallRanker(Calibrated):
    """The ranker for tight deadlines: one hidden layer on the features alone, a tenth of the time."""

    def __init__(self, features: int, heads: int, dropout: float) -> None:
        super().__init__(heads)
        self.numbers = FeatureInput(features, SMALL_BINS)
        self.hidden = nn.Sequential(nn.Linear(self.numbers.width, SMALL_WIDTH), nn.GELU(), nn.Dropout(dropout))
        self.heads = Heads(SMALL_WIDTH, heads)
        self.residual = nn.Parameter(torch.ones(heads))

    def forward(self, feature: Tensor) -> Tensor:
        """Return logits ``(b, k, heads)`` of features ``(b, k, f)``."""
        numbers, pieces = self.numbers(feature)
        logits: Tensor = self.heads(self.hidden(torch.cat([numbers, pieces], -1)))
        logits = logits + self.residual * numbers[..., AFFINITY : AFFINITY + 1]
        return logits

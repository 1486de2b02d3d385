"""The trained ranker as one request asks it: the same function as `ranker_module`, in as few steps as a graph can have.

A graph of a hundred candidates is short enough for each node's own cost to count. What is constant is folded into the
weights, what shares an input shares a product, and the batch axis of training is gone: matrices instead of batches of
matrices let products add their biases themselves.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from slatewise.training.blocks import PointwiseAttention
from slatewise.training.feature_input import FAR, FeatureInput
from slatewise.training.ranker_module import AFFINITY, HEADS, MLP_WIDTHS, RankerModule


class Pieces(nn.Module):
    """`FeatureInput` for ``(n, f)``: numbers ``(n, 2 * f)``, and pieces ``(n, bins * f)`` with the bins outside."""

    base: Tensor
    scale: Tensor
    lowest: Tensor
    highest: Tensor
    mean: Tensor
    std: Tensor
    start: Tensor
    slope: Tensor

    def __init__(self, numbers: FeatureInput) -> None:
        super().__init__()
        self.bins = numbers.start.shape[1]
        for name in ("mean", "std", "lowest", "highest"):
            self.register_buffer(name, getattr(numbers, name))
        # Repeating whole rows is a copy; repeating each value is a loop.
        self.register_buffer("start", numbers.start.T.reshape(-1))
        self.register_buffer("slope", numbers.slope.T.reshape(-1))

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        missing = torch.isnan(feature)
        value = (torch.where(missing, self.mean, feature) - self.mean) / self.std
        value = torch.minimum(torch.maximum(value, self.lowest), self.highest)
        held = torch.where(missing, -FAR, feature)
        piece = ((torch.cat([held] * self.bins, 1) - self.start) * self.slope).clamp(0.0, 1.0)
        return torch.cat([value, missing.to(feature.dtype)], 1), piece


def bins_outside(weight: Tensor, features: int, bins: int) -> Tensor:
    """Return the weights ``(out, f * bins)`` that read what `FeatureInput` says, in the order of `Pieces`."""
    return weight.reshape(-1, features, bins).transpose(1, 2).reshape(len(weight), -1)


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Return a layer of these weights ``(out, in)``."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


class History(nn.Module):
    """One history ``(t, d)`` through the ranker's block."""

    bias: Tensor

    def __init__(self, ranker: RankerModule) -> None:
        super().__init__()
        block: PointwiseAttention = ranker.block
        self.heads, self.norm_in, self.project = block.heads, block.norm_in, block.project
        dim = block.project.in_features
        self.per_head = dim // block.heads
        self.item, self.actions, self.gaps, self.recency = (
            ranker.history, ranker.actions, ranker.gaps, ranker.recency
        )  # fmt: skip
        weight, bias = block.expand.weight, block.expand.bias
        self.gate, self.steps = linear(weight[:dim], bias[:dim]), linear(weight[dim:], bias[dim:])
        # Values are divided by the root of the length, and the sum is normalised: all that is left of it is in epsilon.
        out = block.norm_out
        self.norm_out = nn.LayerNorm(dim, eps=out.eps * block.length)
        self.norm_out.load_state_dict(out.state_dict())
        place = torch.arange(ranker.length)
        self.register_buffer("bias", block.distance_bias.detach()[:, (place[:, None] - place[None]).abs()])

    def forward(self, item: Tensor, action: Tensor, gap: Tensor, mask: Tensor) -> Tensor:
        """Map ``(t, d)`` and ``(t,)`` each to ``(t, d)``."""
        t = item.shape[0]
        age = (mask.sum().to(torch.int64) - 1 - torch.arange(t, device=item.device)).clamp(min=0)
        x = (self.item(item) + self.actions(action) + self.gaps(gap) + self.recency(age)) * mask[:, None]
        read = self.norm_in(x)
        parts = functional.silu(self.steps(read)).reshape(t, 3 * self.heads, self.per_head).transpose(0, 1)
        v, q, k = torch.split(parts, self.heads)
        logit = q @ k.transpose(1, 2) * (1.0 / math.sqrt(self.per_head)) + self.bias[:, :t, :t]
        # What is hidden counts nothing: values of 0 do what a bias that SiLU takes to 0 did.
        y = (functional.silu(logit) @ (v * mask[:, None])).transpose(0, 1).reshape(t, -1)
        encoded: Tensor = x + self.project(self.norm_out(y) * functional.silu(self.gate(read)))
        return encoded


class Attention(nn.Module):
    """`TargetAttention` of candidates that have asked already, ``(n, d)``, over steps ``(t, d)``."""

    null: Tensor
    seen: Tensor

    def __init__(self, ranker: RankerModule) -> None:
        super().__init__()
        attention = ranker.attention
        self.heads = attention.heads
        dim = attention.key.in_features
        self.per_head = dim // self.heads
        both = (attention.key, attention.value)
        self.steps = linear(torch.cat([part.weight for part in both]), torch.cat([part.bias for part in both]))
        self.register_buffer("null", self.steps(attention.null.detach()[None]).detach())
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, asked: Tensor, steps: Tensor, mask: Tensor) -> Tensor:
        n, t = asked.shape[0], steps.shape[0] + 1
        read = torch.cat([self.null, self.steps(steps)]).reshape(t, 2 * self.heads, self.per_head).transpose(0, 1)
        key, value = torch.split(read, self.heads)
        hidden = torch.cat([self.seen, (mask - 1.0) * 1e9])
        weight = asked.reshape(n, self.heads, self.per_head).transpose(0, 1) @ key.transpose(1, 2) + hidden
        found: Tensor = (weight.softmax(-1) @ value).transpose(0, 1).reshape(n, -1)
        return found


class RankOne(nn.Module):
    """One query, many candidates: calibrated probabilities ``(n, heads)``. Made from a trained ranker, in its place.

    Inputs are those of `RankerModule` with a batch of 1, but for the candidates ``(n, d)`` and features ``(n, f)``.
    """

    def __init__(self, ranker: RankerModule) -> None:
        super().__init__()
        dim, features = ranker.candidate.in_features, ranker.numbers.mean.numel()
        side = ranker.candidate.out_features
        self.sides = [side, dim]
        self.units = list(MLP_WIDTHS)
        self.pieces, self.history, self.attention = Pieces(ranker.numbers), History(ranker), Attention(ranker)
        self.tokens, self.asked, self.lasting = ranker.tokens, ranker.asked, ranker.lasting
        asks = ranker.attention.ask
        scale = 1.0 / math.sqrt(dim // HEADS)
        self.candidate = linear(
            torch.cat([ranker.candidate.weight, asks.weight * scale]),
            torch.cat([ranker.candidate.bias, asks.bias * scale]),
        )
        self.product = ranker.product
        self.gates, self.gate = ranker.gates.body, ranker.gates.out
        ups = [up for up in ranker.cross.up if isinstance(up, nn.Linear)]
        crossed = ups[0].out_features
        weight = ranker.first.weight
        pieces = bins_outside(weight[:, crossed:], features, self.pieces.bins)
        self.first = linear(torch.cat([weight[:, :crossed], pieces], 1), ranker.first.bias)
        # Gates are twice a sigmoid; the twos stand in the weights behind them.
        self.second = linear(ranker.second.weight * 2.0, ranker.second.bias)
        self.down = ranker.cross.down
        # x * (u + b) + x is x * (u + b + 1).
        self.up = nn.ModuleList([linear(ups[0].weight, ups[0].bias + 1.0), *ups[1:]])
        slope = ranker.slope
        weight = ranker.heads.weight * slope[:, None]
        weight = torch.cat([weight[:, :crossed], 2.0 * weight[:, crossed:]], 1)
        self.heads = linear(weight, ranker.heads.bias * slope + ranker.offset)
        self.residual = nn.Parameter(ranker.residual.detach() * slope)

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
        held = mask[0]
        steps = self.history(item[0], action[0], gap[0], held)
        attributes = user_weight @ self.tokens(user_token[0])
        evenly = mask / mask.sum(1, keepdim=True).clamp(min=1.0)
        gate = torch.sigmoid(self.gate(self.gates(torch.cat([user, evenly @ steps, attributes], 1))))
        wish = user + self.asked(attributes) + self.lasting(evenly @ item[0])
        numbers, pieces = self.pieces(feature)
        side, asked = torch.split(self.candidate(candidate), self.sides, 1)
        x = torch.cat([numbers, side, self.product(wish * candidate), self.attention(asked, steps, held)], 1)
        first, second = torch.split(gate, self.units, 1)
        y = functional.gelu(self.first(torch.cat([x, pieces], 1))) * first
        y = functional.gelu(self.second(y)) * second
        crossed = x * self.up[0](self.down[0](x))
        for down, up in zip(list(self.down)[1:], list(self.up)[1:], strict=True):
            crossed = x * up(down(crossed)) + crossed
        logits = self.heads(torch.cat([crossed, y], 1)) + self.residual * numbers[:, AFFINITY : AFFINITY + 1]
        return torch.sigmoid(logits)

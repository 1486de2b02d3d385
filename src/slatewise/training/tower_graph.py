"""The trained user tower as serving asks it: the vector after the last step alone, in few steps of a graph.

The same function as `tower_modules.UserTower`, whose last block works out every step's vector because training learns
from all of them. What is constant is folded into the weights.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from slatewise.features.sequences import GAP_BUCKETS
from slatewise.ports.models import UNKNOWN_AGE
from slatewise.training.blocks import HIDDEN, ON_BORDER, PointwiseAttention
from slatewise.training.tower_modules import UserTower


class Block(nn.Module):
    """`PointwiseAttention` of a batch of histories, causal: of all their steps, or of one each."""

    bias: Tensor

    def __init__(self, block: PointwiseAttention) -> None:
        super().__init__()
        self.heads, self.expand = block.heads, block.expand
        self.norm_in, self.project = block.norm_in, block.project
        dim = block.project.in_features
        self.per_head = dim // block.heads
        # Values are divided by the root of the length, and the sum is normalised: all that is left of it is in epsilon.
        self.norm_out = nn.LayerNorm(dim, eps=block.norm_out.eps * block.length)
        self.norm_out.load_state_dict(block.norm_out.state_dict())
        place = torch.arange(block.length)
        back = place[:, None] - place[None]
        self.register_buffer(
            "bias", block.distance_bias.detach()[:, back.clamp(min=0)] + torch.where(back >= 0, 0.0, HIDDEN)
        )

    def forward(self, x: Tensor, time_bias: Tensor | None) -> Tensor:
        """Map ``(b, t, d)`` to the same shape; *time_bias* is ``(b, heads, t, t)``."""
        t = x.shape[1]
        gate, read = self._read(x)
        v, q, k = read.chunk(3, 1)
        return self._updated(x, gate, q, k, v, self.bias[:, :t, :t], time_bias)

    def last(self, x: Tensor, at: Tensor, time_bias: Tensor | None) -> Tensor:
        """Map ``(b, t, d)`` to what comes of the steps *at* ``(b,)``, ``(b, 1, d)``; *time_bias* is theirs alone."""
        b, t, d = x.shape
        gate, read = self._read(x)
        v, q, k = read.chunk(3, 1)
        here = at[:, None, None]
        q = torch.gather(q, 2, here[:, None].expand(b, self.heads, 1, self.per_head))
        gate = torch.gather(gate, 1, here.expand(b, 1, d))
        x = torch.gather(x, 1, here.expand(b, 1, d))
        bias = self.bias[:, :, :t].index_select(1, at).transpose(0, 1)[:, :, None]
        return self._updated(x, gate, q, k, v, bias, time_bias)

    def _read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        b, t, d = x.shape
        gate, rest = functional.silu(self.expand(self.norm_in(x))).split((d, 3 * d), -1)
        return gate, rest.reshape(b, t, 3 * self.heads, self.per_head).transpose(1, 2)

    def _updated(
        self, x: Tensor, gate: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, time_bias: Tensor | None
    ) -> Tensor:
        b, t, d = x.shape
        logit = q @ k.transpose(-1, -2) * (1.0 / math.sqrt(self.per_head)) + bias
        if time_bias is not None:
            logit = logit + time_bias
        y = (functional.silu(logit) @ v).transpose(1, 2).reshape(b, t, d)
        return x + self.project(self.norm_out(y) * gate)


class Times(nn.Module):
    """`TimeBias`, as one table per head and bucket."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table.detach())

    def buckets(self, age: Tensor) -> Tensor:
        """Map ages ``(b, t)``, negative where unknown, to buckets ``(b, t, t)`` of step i looking at j."""
        known = (age >= 0).to(age.dtype)
        seconds = (age[:, None] - age[:, :, None]).clamp(min=0)
        bucket = (torch.log2(seconds + 1) + (1 + ON_BORDER)).clamp(max=GAP_BUCKETS - 1)
        return (bucket * (known[:, None] * known[:, :, None])).to(torch.int32)

    def forward(self, bucket: Tensor) -> Tensor:
        """Map buckets ``(b, i, j)`` to biases ``(b, heads, i, j)``."""
        found = self.table.index_select(1, bucket.flatten()).reshape(-1, *bucket.shape)
        return found.transpose(0, 1)


class LastStep(nn.Module):
    """The user vector after the last interaction of each history, ``(b, d)``. Inputs are those of `UserTower`."""

    def __init__(self, tower: UserTower) -> None:
        super().__init__()
        self.actions, self.gaps, self.tokens = tower.actions, tower.gaps, tower.tokens
        self.start, self.positions, self.norm = tower.start, tower.positions, tower.norm
        self.blocks = nn.ModuleList(Block(block) for block in tower.blocks)
        self.times = None if tower.time_bias is None else Times(tower.time_bias.table)

    def forward(
        self,
        item: Tensor,
        action: Tensor,
        gap: Tensor,
        age: Tensor,
        mask: Tensor,
        user_token: Tensor,
        user_weight: Tensor,
    ) -> Tensor:
        b, t, d = item.shape
        x = (item + self.actions(action) + self.gaps(gap)) * mask[..., None]
        about = (self.tokens(user_token) * user_weight[..., None]).sum(1)
        x = torch.cat([self.start.expand(b, 1, d), x], 1) + self.positions[: t + 1] + about[:, None]
        last = mask.sum(1).to(torch.int64)
        bucket = None if self.times is None else self.times.buckets(functional.pad(age, (1, 0), value=UNKNOWN_AGE))
        *blocks, final = self.blocks
        for block in blocks:
            x = block(x, None if bucket is None else self.times(bucket))
        if bucket is not None:
            bucket = torch.gather(bucket, 1, last[:, None, None].expand(b, 1, t + 1))
        x = final.last(x, last, None if bucket is None else self.times(bucket))[:, 0]
        return functional.normalize(self.norm(x), dim=-1)

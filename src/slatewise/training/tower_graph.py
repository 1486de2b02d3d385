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

    def forward(self, x: Tensor, t: int, time_bias: Tensor | None) -> Tensor:
        """Map ``(b, t, d)`` to the same shape; *time_bias* is ``(b, heads, t, t)``."""
        gate, q, k, v = self._read(x, t)
        return self._updated(x, gate, q, k, v, self.bias[:, :t, :t], time_bias, t)

    def last(self, x: Tensor, t: int, at: Tensor, here: Tensor, time_bias: Tensor | None) -> Tensor:
        """Map ``(b, t, d)`` to what comes of the steps *at* ``(b,)``, ``(b, 1, d)``; *time_bias* is theirs alone.

        *here* ``(b, 1, t)`` is 1 at those steps and 0 elsewhere: a product takes them out, whatever the shapes.
        """
        gate, q, k, v = self._read(x, t)
        bias = self.bias[:, :, :t].index_select(1, at).transpose(0, 1)[:, :, None]
        return self._updated(here @ x, here @ gate, here[:, None] @ q, k, v, bias, time_bias, 1)

    def _read(self, x: Tensor, t: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        d = self.project.in_features
        gate, rest = torch.split(functional.silu(self.expand(self.norm_in(x))), [d, 3 * d], -1)
        v, q, k = torch.split(rest.reshape(-1, t, 3 * self.heads, self.per_head).transpose(1, 2), self.heads, 1)
        return gate, q, k, v

    def _updated(
        self, x: Tensor, gate: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, time_bias: Tensor | None, t: int
    ) -> Tensor:
        logit = q @ k.transpose(-1, -2) * (1.0 / math.sqrt(self.per_head)) + bias
        if time_bias is not None:
            logit = logit + time_bias
        y = (functional.silu(logit) @ v).transpose(1, 2).reshape(-1, t, self.project.in_features)
        updated: Tensor = x + self.project(self.norm_out(y) * gate)
        return updated


class Times(nn.Module):
    """`TimeBias`, as one table per head and bucket."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table.detach())

    def forward(self, age: Tensor) -> Tensor:
        """Map ages ``(b, t)``, negative where unknown, to biases ``(b, heads, t, t)`` of step i looking at j."""
        known = (age >= 0).to(age.dtype)
        seconds = (age[:, None] - age[:, :, None]).clamp(min=0)
        bucket = (torch.log2(seconds + 1) + (1 + ON_BORDER)).clamp(max=GAP_BUCKETS - 1)
        place = (bucket * (known[:, None] * known[:, :, None])).to(torch.int64)
        return self.table[:, place].transpose(0, 1)


class LastStep(nn.Module):
    """The user vector after the last interaction of each history, ``(b, d)``. Inputs are those of `UserTower`."""

    places: Tensor
    numbers: Tensor

    def __init__(self, tower: UserTower) -> None:
        super().__init__()
        self.actions, self.gaps, self.tokens, self.norm = tower.actions, tower.gaps, tower.tokens, tower.norm
        # What stands before the first step is a place that is empty but for these.
        places = tower.positions.detach().clone()
        places[0] += tower.start.detach().reshape(-1)
        self.register_buffer("places", places)
        self.register_buffer("numbers", torch.arange(len(places)))
        *blocks, final = (Block(block) for block in tower.blocks if isinstance(block, PointwiseAttention))
        self.blocks, self.final = nn.ModuleList(blocks), final
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
        t = item.shape[1] + 1
        about = (self.tokens(user_token) * user_weight[..., None]).sum(1)[:, None]
        steps = (item + self.actions(action) + self.gaps(gap)) * mask[..., None]
        x = torch.cat([about + self.places[:1], steps + about + self.places[1:t]], 1)
        held = mask.sum(1, keepdim=True)
        last = held[:, 0].to(torch.int64)
        here = (self.numbers[:t] == last[:, None]).to(x.dtype)[:, None]
        bias = lasts = None
        if self.times is not None:
            bias = self.times(torch.cat([held * 0.0 + UNKNOWN_AGE, age], 1))
            lasts = here[:, None] @ bias
        for block in self.blocks:
            x = block(x, t, bias)
        return functional.normalize(self.norm(self.final.last(x, t, last, here, lasts)[:, 0]), dim=-1)

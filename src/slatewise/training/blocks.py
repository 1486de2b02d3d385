"""Sequence blocks of the user tower and the ranker, in PyTorch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from slatewise.features.sequences import GAP_BUCKETS
from slatewise.training.dropout import Dropout

HIDDEN = -1e4
"""Bias of what may not be looked at: SiLU takes it to zero, and costs no pass over the weights of its own."""

ON_BORDER = 1e-3
"""Added to logarithms before they are cut to buckets: whole seconds on a border are cut alike by every runtime."""


def rows_of(table: Tensor, place: Tensor) -> Tensor:
    """Return ``table[place]``, a row for each place: the same numbers, at a third of its way back."""
    return table.index_select(0, place.flatten()).view(*place.shape, table.shape[1])


class TimeBias(nn.Module):
    """Relative bias of attention by the time between two steps, in buckets of its log2, learned per head.

    HSTU: Zhai et al., "Actions Speak Louder than Words", ICML 2024. Bucket 0 is for times that are not known; bucket b
    for about 2^(b-1) seconds.
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(heads, GAP_BUCKETS))

    def forward(self, age: Tensor) -> Tensor:
        """Map ages ``(b, t)``, negative where unknown, to the biases ``(b, heads, t, t)`` of step i looking at j."""
        known = (age >= 0).to(age.dtype)
        seconds = (age[:, None] - age[:, :, None]).clamp(min=0)
        bucket = (torch.log2(seconds + 1) + (1 + ON_BORDER)).clamp(max=GAP_BUCKETS - 1)
        place = (bucket * known[:, None] * known[:, :, None]).to(torch.int32)
        # One flat lookup per head: indexing the whole table costs five times that, mostly on the way back.
        per_head = [row.index_select(0, place.flatten()).view(place.shape) for row in self.table.unbind()]
        return torch.stack(per_head, 1)


class PointwiseAttention(nn.Module):
    """A gated block with pointwise (SiLU) attention instead of softmax, causal.

    Pointwise attention keeps how much there was, not only in which shares (HSTU: Zhai et al., "Actions Speak Louder
    than Words", ICML 2024).
    """

    def __init__(self, dim: int, heads: int, length: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.length = length
        self.norm_in = nn.LayerNorm(dim)
        self.norm_out = nn.LayerNorm(dim)
        self.expand = nn.Linear(dim, 4 * dim)
        self.project = nn.Linear(dim, dim)
        self.dropout = Dropout(dropout)
        self.distance_bias = nn.Parameter(torch.zeros(heads, length))

    def forward(self, x: Tensor, hidden: Tensor, distance: Tensor, time_bias: Tensor | None = None) -> Tensor:
        """Map ``(b, t, d)`` to the same shape.

        *hidden* ``(t, t)`` is 0 where looking is allowed and `HIDDEN` elsewhere, *distance* ``(t, t)`` counts steps,
        *time_bias* ``(b, heads, t, t)`` is added where given.
        """
        b, t, d = x.shape
        per_head = d // self.heads
        gate, v, q, k = functional.silu(self.expand(self.norm_in(x))).chunk(4, -1)
        # Constant scales, on the thin sides: dividing by the true length would make a step depend on its padding.
        q, v = q / math.sqrt(per_head), v / math.sqrt(self.length)
        q, k, v = (h.reshape(b, t, self.heads, per_head).transpose(1, 2) for h in (q, k, v))
        bias = self.distance_bias[:, distance] + hidden
        logit = q @ k.transpose(-1, -2) + bias
        if time_bias is not None:
            logit = logit + time_bias
        y = (functional.silu(logit) @ v).transpose(1, 2).reshape(b, t, d)
        update: Tensor = self.dropout(self.project(self.norm_out(y) * gate))
        return x + update

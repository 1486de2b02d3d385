"""Sequence blocks of the user tower and the ranker, in PyTorch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class PointwiseAttention(nn.Module):
    """A gated block with pointwise (SiLU) attention instead of softmax, relative position bias, causal.

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
        self.dropout = nn.Dropout(dropout)
        self.distance_bias = nn.Parameter(torch.zeros(heads, length))

    def forward(self, x: Tensor, keep: Tensor, distance: Tensor) -> Tensor:
        """Map ``(b, t, d)`` to the same shape. *keep* ``(t, t)`` is 1 where looking is allowed."""
        b, t, d = x.shape
        gate, v, q, k = functional.silu(self.expand(self.norm_in(x))).chunk(4, -1)
        q, k, v = (h.reshape(b, t, self.heads, d // self.heads).transpose(1, 2) for h in (q, k, v))
        weight = q @ k.transpose(-1, -2) / math.sqrt(d // self.heads) + self.distance_bias[:, distance]
        # A constant scale: dividing by the true length would make a step depend on how much padding there is.
        weight = functional.silu(weight) * keep / math.sqrt(self.length)
        y = (weight @ v).transpose(1, 2).reshape(b, t, d)
        update: Tensor = self.dropout(self.project(self.norm_out(y) * gate))
        return x + update

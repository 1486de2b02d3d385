"""Click prediction from categorical fields as a PyTorch module. Knows neither files nor how it is fitted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from slatewise.training.ranker_module import CrossNetwork

INIT_STD = 0.01
"""Embeddings start small: what a rare value never learns stays silent."""


class CtrModule(nn.Module):
    """Two streams over one set of field embeddings, one with explicit crosses, fused by a bilinear form per head.

    The plain stream is an MLP, the crossed one a low-rank cross network (DCN-v2: Wang et al., WWW 2021) under an MLP.
    They meet in ``a(x) + b(y) + sum_h x_h W_h y_h`` (FinalMLP: Mao et al., AAAI 2023, section 3.3), which multiplies
    what one stream knows by what the other does. Id 0 of every field is the unknown value: a vector of zeros.
    """

    first: Tensor

    def __init__(
        self, sizes: Sequence[int], dim: int, width: int, heads: int, rank: int, layers: int, dropout: float
    ) -> None:
        """Take each field's number of ids in *sizes*; *width*, that of both streams, is divisible by *heads*."""
        super().__init__()
        self.heads = heads
        first = torch.tensor([0, *accumulate(sizes)][:-1])
        self.register_buffer("first", first)
        self.embedding = nn.Embedding(sum(sizes), dim)
        nn.init.normal_(self.embedding.weight, std=INIT_STD)
        with torch.no_grad():
            self.embedding.weight[first] = 0.0
        flat = dim * len(sizes)
        self.plain = _stream(flat, width, dropout)
        self.cross = CrossNetwork(flat, rank, layers)
        self.crossed = _stream(flat, width, dropout)
        self.of_plain = nn.Linear(width, 1)
        self.of_crossed = nn.Linear(width, 1, bias=False)
        self.fusion = nn.Parameter(torch.randn(heads, width // heads, width // heads) * INIT_STD)

    def forward(self, value: Tensor) -> Tensor:
        """Map ids ``(b, fields)``, counted per field, to logits ``(b,)``."""
        embedded = self.embedding(value + self.first).flatten(1)
        x, y = self.plain(embedded), self.crossed(self.cross(embedded))
        together = (torch.bmm(self._split(x), self.fusion) * self._split(y)).sum((0, 2))
        logits: Tensor = (self.of_plain(x) + self.of_crossed(y))[:, 0] + together
        return logits

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), self.heads, -1).transpose(0, 1)


def _stream(flat: int, width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(flat, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout))

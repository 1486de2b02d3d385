"""The two towers as PyTorch modules. Their twins at serving time are the ONNX graphs exported from them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from slatewise.features.sequences import GAP_BUCKETS
from slatewise.ports.models import UNKNOWN_AGE
from slatewise.training.blocks import HIDDEN, PointwiseAttention, TimeBias
from slatewise.training.dropout import Dropout

INIT_STD = 0.02


class ItemTower(nn.Module):
    """Item embedding = id embedding + sum of attribute token embeddings; item vector = its direction.

    Id 0 stands for any item unseen in training and is always zero: such an item is what its attributes say.
    """

    def __init__(self, n_items: int, tokens: int, dim: int, sparse: bool) -> None:
        super().__init__()
        self.ids = nn.Embedding(n_items + 1, dim, padding_idx=0, sparse=sparse)
        self.tokens = nn.Embedding(tokens, dim, padding_idx=0)
        nn.init.normal_(self.ids.weight, std=INIT_STD)
        nn.init.normal_(self.tokens.weight, std=INIT_STD)
        with torch.no_grad():
            self.ids.weight[0] = 0
            self.tokens.weight[0] = 0

    def forward(self, known: Tensor, token: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Map ids ``(n,)`` and bags ``(n, m)`` to embedding and unit vector, ``(n, d)`` each."""
        embedding = self.ids(known) + (self.tokens(token) * weight[..., None]).sum(1)
        return embedding, functional.normalize(embedding, dim=-1)


class UserTower(nn.Module):
    """Reads a history behind a learned start step, so an empty history has a vector too. No per-user parameters.

    *timed* towers also attend by the time between steps; for data whose times are instants.
    """

    def __init__(
        self, dim: int, actions: int, tokens: int, length: int, layers: int, heads: int, dropout: float, timed: bool
    ) -> None:
        super().__init__()
        self.length = length + 1
        self.start = nn.Parameter(torch.randn(dim) * INIT_STD)
        self.positions = nn.Parameter(torch.randn(self.length, dim) * INIT_STD)
        self.actions = nn.Embedding(actions, dim)
        self.gaps = nn.Embedding(GAP_BUCKETS, dim)
        self.tokens = nn.Embedding(tokens, dim, padding_idx=0)
        for embedding in (self.actions, self.gaps, self.tokens):
            nn.init.normal_(embedding.weight, std=INIT_STD / 2)
        self.blocks = nn.ModuleList(PointwiseAttention(dim, heads, self.length, dropout) for _ in range(layers))
        self.time_bias = TimeBias(heads) if timed else None
        self.norm = nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)

    def steps(
        self,
        item: Tensor,
        action: Tensor,
        gap: Tensor,
        age: Tensor,
        mask: Tensor,
        user_token: Tensor,
        user_weight: Tensor,
    ) -> Tensor:
        """Return the user vector after each step, ``(b, 1 + t, d)``: position 0 is before any interaction.

        Ages are compared with each other only, so a training window may count them from its own end.
        """
        b, t, d = item.shape
        x = (item + self.actions(action) + self.gaps(gap)) * mask[..., None]
        x = torch.cat([self.start.expand(b, 1, d), x], 1) + self.positions[: t + 1]
        about = (self.tokens(user_token) * user_weight[..., None]).sum(1)
        x = self.dropout(x + about[:, None])
        place = torch.arange(t + 1, device=item.device)
        distance = (place[:, None] - place[None]).clamp(min=0)
        hidden = torch.where(place[:, None] >= place[None], 0.0, HIDDEN)
        time_bias = None
        if self.time_bias is not None:
            time_bias = self.time_bias(functional.pad(age, (1, 0), value=UNKNOWN_AGE))
        for block in self.blocks:
            x = block(x, hidden, distance, time_bias)
        return functional.normalize(self.norm(x), dim=-1)

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
        """Return the vector after the last interaction of each history, ``(b, d)``. Histories are right-padded."""
        steps = self.steps(item, action, gap, age, mask, user_token, user_weight)
        last = mask.sum(1).to(torch.int64)
        return torch.gather(steps, 1, last[:, None, None].expand(-1, 1, steps.shape[2])).squeeze(1)


class TwoTower(nn.Module):
    """Both towers, sharing the item embeddings: what a user did and what may be shown live in one space."""

    def __init__(self, item: ItemTower, user: UserTower) -> None:
        super().__init__()
        self.item = item
        self.user = user

"""Tastes as a PyTorch module: how likely a shown item is taken, and which item is found without a slate."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from slatewise.models.taste_table import SMALLEST, TasteTable
from slatewise.ports.models import Bag
from slatewise.training.blocks import rows_of

TOKEN_STD, OWN_STD = 0.1, 0.01
OWN_DROPOUT = 0.6
"""Share of items whose vectors must do with their attributes in each batch. Appeal is always an item's own as well."""
START = 3.0
"""What nearness is worth in log-odds, to begin with."""
PLACES = 50


class Tastes(nn.Module):
    """Log-odds that a shown item is taken: nearness to lasting taste and visit, appeal, place, and what was before.

    Factorisation by a user's history instead of a user's vector (FISM: Kabbur et al., KDD 2013), items by attributes
    and a residual (LightFM: Kula, 2015), places by a number each, which serving leaves out (PAL: Guo et al., 2019).
    What users find on their own is one choice among the whole catalogue in the same vectors, with an appeal of its own.
    """

    def __init__(self, n_items: int, tokens: int, dim: int, actions: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(tokens, dim + 1, padding_idx=0)
        self.own = nn.Embedding(n_items, dim, sparse=True)
        self.appeal = nn.Embedding(n_items, 1, sparse=True)
        self.appeal_found = nn.Embedding(n_items, 1, sparse=True)
        nn.init.normal_(self.tokens.weight, std=TOKEN_STD)
        nn.init.normal_(self.own.weight, std=OWN_STD)
        nn.init.zeros_(self.appeal.weight)
        nn.init.zeros_(self.appeal_found.weight)
        with torch.no_grad():
            self.tokens.weight[0] = 0.0
            self.tokens.weight[:, -1] = 0.0
        self.nearness = nn.Parameter(torch.full((2,), START))
        self.nearness_found = nn.Parameter(torch.full((2,), START))
        self.place = nn.Parameter(torch.zeros(PLACES))
        self.met = nn.Parameter(torch.zeros(actions + 1))
        self.offset = nn.Parameter(torch.tensor(-START))

    def placed(self, bags: Bag, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the items' directions ``(m, d)``, and the appeal that their attributes have ``(m,)``."""
        own = self.own(rows)
        if self.training:
            own = own * (torch.rand(len(rows), 1) >= OWN_DROPOUT)
        said = (self.tokens(torch.from_numpy(bags.token)) * torch.from_numpy(bags.weight)[..., None]).sum(1)
        return functional.normalize(said[:, :-1] + own, dim=-1, eps=SMALLEST), said[:, -1]

    def forward(self, bags: Bag, rows: Tensor, item: Tensor, past: Tensor, weight: Tensor, met: Tensor) -> Tensor:
        """Return log-odds ``(b, s)``. *rows* ``(m,)`` are the distinct items and *bags* theirs; *item* ``(b, s)`` and
        *past* ``(b, t)`` are places among them; *weight* and *met* as in `Shown`."""
        vector, said = self.placed(bags, rows)
        appeal = said + self.appeal(rows)[:, 0]
        near = torch.einsum("bsd,bd->bs", rows_of(vector, item), _wish(self.nearness, vector, past, weight))
        place = self.place[torch.arange(item.shape[1]).clamp(max=PLACES - 1)]
        logits: Tensor = near + appeal[item] + place + met @ self.met + self.offset
        return logits

    def loss_of_found(
        self, bags: Bag, rows: Tensor, item: Tensor, past: Tensor, weight: Tensor, other: Tensor
    ) -> Tensor:
        """Return the mean of ``-log softmax`` of the found items ``(b,)`` among the *other* ones ``(k,)``, all places
        among *rows* as in `forward`."""
        vector, said = self.placed(bags, rows)
        appeal = said + self.appeal_found(rows)[:, 0]
        wish = _wish(self.nearness_found, vector, past, weight)
        right = (wish * rows_of(vector, item)).sum(1) + appeal[item]
        wrong = (wish @ rows_of(vector, other).T + appeal[other]).masked_fill(item[:, None] == other[None], -torch.inf)
        loss: Tensor = (torch.logsumexp(torch.cat([right[:, None], wrong], 1), 1) - right).mean()
        return loss

    @torch.no_grad()
    def table(self) -> TasteTable:
        """Return a copy of what serving reads."""
        own = torch.cat([self.own.weight, self.appeal.weight], 1)
        return TasteTable(self.tokens.weight.numpy().copy(), own.numpy())


def _wish(nearness: Tensor, vector: Tensor, past: Tensor, weight: Tensor) -> Tensor:
    return (nearness[:, None] * (weight @ rows_of(vector, past))).sum(1)

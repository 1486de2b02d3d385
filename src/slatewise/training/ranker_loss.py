"""What the ranker is told by a slate: which of the shown or retrieved was wanted, and how. Knows no model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from slatewise.training.slates import Slates

PLACES = 50
MASKED = -1e9
LOG_LOSS = 0.1
"""Share of the per-action log-loss beside the listwise one."""


class SlateLoss(nn.Module):
    """Softmax over all (candidate, action) pairs of a slate, and a little log-loss per action.

    What comes next is one candidate *and* one action, so the heads share one softmax (ListNet: Cao et al., ICML 2007):
    a softmax per head would leave their scales free of each other, and their weighted sum with them.

    Position bias is learned beside the ranker, one number per place and action for what was really shown, and left out
    at serving (PAL: Guo et al., RecSys 2019). Shown and retrieved lists have an origin per action each: where clicks
    come from shown lists alone, no other list is evidence against clicking what is in it.
    """

    def __init__(self, heads: int, corrects_position: bool) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(PLACES, heads), requires_grad=corrects_position)
        self.origin = nn.Parameter(torch.full((2, heads), -3.0))

    def with_bias(self, logits: Tensor, position: np.ndarray) -> Tensor:
        """Add what the place of each candidate does to logits ``(l, k, heads)``; *position* ``(l, k)``, -1: none."""
        at = torch.from_numpy(np.clip(position, 0, PLACES - 1))
        shown = torch.from_numpy((position >= 0).astype(np.float32))
        return logits + self.place[at] * shown[..., None]

    def forward(self, logits: Tensor, slates: Slates, at: np.ndarray, columns: np.ndarray) -> Tensor:
        """Return the loss of logits ``(l, n, heads)`` for these *columns* of these slates."""
        position = np.take_along_axis(slates.position[at], columns, 1)
        wanted = torch.from_numpy(np.take_along_axis(slates.label[at], columns[..., None], 1).astype(np.float32))
        held = torch.from_numpy((np.take_along_axis(slates.candidate[at], columns, 1) >= 0).astype(np.float32))[
            ..., None
        ]
        logits = self.with_bias(logits, position)
        kind = torch.from_numpy((position >= 0).any(1).astype(np.int64))
        logits = logits + self.origin[kind][:, None]
        share = (logits + (held - 1.0) * -MASKED).flatten(1).log_softmax(1).view_as(logits)
        wants = wanted.sum().clamp(min=1.0)
        listwise: Tensor = -(share * wanted).sum() / wants
        each = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        return listwise + LOG_LOSS * (each * held).sum() / wants

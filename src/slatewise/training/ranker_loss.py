"""What the ranker is told by a slate: which of the shown or retrieved was wanted, and how. Knows no model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from slatewise.training.blocks import rows_of
from slatewise.training.slates import Slates

PLACES = 50
MASKED = -1e9
LOG_LOSS = 0.1
"""Share of the per-action log-loss beside the listwise one, for retrieved lists."""
RETRIEVED, SHOWN = 0, 1
DOUBT = 10.0
"""Candidates' worth of doubt about a place."""
SUREST = 1e-6
"""Probabilities stay so far below 1, or what was passed over against all certainty would cost infinitely much."""


class SlateLoss(nn.Module):
    """Log-loss for what was shown; for retrieved lists a softmax over (candidate, action) pairs and a little log-loss.

    Of a slate that was really shown, each item was taken or passed over, the slates of which nothing was taken among
    them: where most clicks go to the first place, what is told lies between slates, not within one. An item is taken if
    its place is looked at and it is wanted, so the two probabilities multiply (examination hypothesis: Richardson et
    al., WWW 2007; learned beside a ranker and left out at serving: PAL, Guo et al., RecSys 2019).

    Of a retrieved list it is known what came next, one candidate *and* one action, so the heads share one softmax
    (ListNet: Cao et al., ICML 2007). Each kind of list has an origin per action, and of an action that none of its
    lists holds it says nothing: a view that no slate led to is no evidence against clicking the same item.
    """

    occurs: Tensor

    def __init__(self, heads: int, corrects_position: bool) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(PLACES, heads), requires_grad=corrects_position)
        self.origin = nn.Parameter(torch.full((2, heads), -3.0))
        self.register_buffer("occurs", torch.ones(2, heads))

    @staticmethod
    def starting_from(slates: Slates, at: np.ndarray, corrects_position: bool) -> SlateLoss:
        """Return the loss with the rates of the slates *at* to begin with, per kind of list, action and place.

        From zero they would arrive only after the network has taken places for taste.
        """
        loss = SlateLoss(slates.label.shape[2], corrects_position)
        for kind in (RETRIEVED, SHOWN):
            of = at[(slates.position[at] >= 0).any(1) == bool(kind)]
            if not of.size:
                continue
            rate = _rates_by_place(slates, of, kind == SHOWN and corrects_position)
            loss.occurs[kind] = torch.from_numpy(slates.label[of].any((0, 1)).astype(np.float32))
            best = np.minimum(rate.max(0), 0.5)
            loss.origin.data[kind] = torch.from_numpy(np.log(best / (1.0 - best)).astype(np.float32))
            if kind == SHOWN:
                loss.place.data[:] = torch.from_numpy(np.log(rate).astype(np.float32)) * loss.occurs[SHOWN]
        return loss

    def log_seen(self, position: np.ndarray) -> Tensor:
        """Return the log-probability per action that each place is looked at, ``(l, k, heads)``, the best place's 0.

        *position* ``(l, k)`` is -1 for what was not shown: that counts as looked at.
        """
        at = torch.from_numpy(np.clip(position, 0, PLACES - 1))
        shown = torch.from_numpy((position >= 0).astype(np.float32))
        return rows_of(self.place - self.place.amax(0), at) * shown[..., None]

    def forward(self, logits: Tensor, slates: Slates, at: np.ndarray, columns: np.ndarray) -> Tensor:
        """Return the mean loss of a slate, of logits ``(l, n, heads)`` for these *columns* of these slates."""
        position = np.take_along_axis(slates.position[at], columns, 1)
        wanted = torch.from_numpy(np.take_along_axis(slates.label[at], columns[..., None], 1).astype(np.float32))
        held = torch.from_numpy((np.take_along_axis(slates.candidate[at], columns, 1) >= 0).astype(np.float32))
        shown = torch.from_numpy((position >= 0).any(1))
        kind = shown.to(torch.int64)
        told = held[..., None] * self.occurs[kind][:, None]
        logits = logits + self.origin[kind][:, None]
        log_taken = functional.logsigmoid(logits) + self.log_seen(position)
        log_passed = torch.log1p(-log_taken.exp().clamp(max=1.0 - SUREST))
        each = -(wanted * log_taken + (1.0 - wanted) * log_passed)
        pointwise = (each * told).flatten(1).sum(1)
        share = (logits + (told - 1.0) * -MASKED).flatten(1).log_softmax(1).view_as(logits)
        listwise = -(share * wanted * told).flatten(1).sum(1)
        loss: Tensor = torch.where(shown, pointwise, listwise + LOG_LOSS * pointwise).mean()
        return loss


def _rates_by_place(slates: Slates, at: np.ndarray, by_place: bool) -> np.ndarray:
    """Return the share of the candidates at each place that was taken, ``(PLACES, heads)``, or everywhere that of all.

    Places never shown count as the last one shown.
    """
    held = slates.candidate[at] >= 0
    place = np.clip(slates.position[at][held], 0, PLACES - 1) if by_place else np.zeros(int(held.sum()), np.int64)
    of = np.bincount(place, minlength=PLACES)[:, None]
    taken = np.zeros((PLACES, slates.label.shape[2]))
    np.add.at(taken, place, slates.label[at][held])
    # A place that was hardly shown has about the rate of all: a whisper of slates is no evidence.
    mean = (taken.sum(0) + 0.5) / (of.sum() + 1.0)
    rate: np.ndarray = (taken + mean * DOUBT) / (of + DOUBT)
    last = int(np.flatnonzero(of[:, 0])[-1])
    rate[last + 1 :] = rate[last]
    return rate

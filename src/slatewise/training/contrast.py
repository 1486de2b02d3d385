"""The loss of the towers: a softmax over one right item and shared wrong ones, with its gradient written out.

Plain operations make half a dozen passes over the ``(examples, negatives)`` matrix and keep most of them for the way
back; here a block of it at a time is made, turned into weights in place, used by two products and dropped.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

BLOCK = 512
"""Examples at a time: their row of the matrix stays in the processor's cache between the passes over it."""


class _Contrast(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, user: Tensor, right: Tensor, wrong: Tensor, offset: Tensor, clash: Tensor, temperature: float
    ) -> Tensor:
        scale = 1.0 / temperature
        target = (user * right).sum(1) * scale
        own, shift = torch.exp(target - scale), -offset - scale
        total, to_user, to_wrong = torch.empty_like(own), torch.empty_like(user), torch.zeros_like(wrong)
        edges = torch.searchsorted(clash[:, 0].contiguous(), torch.arange(0, len(user) + BLOCK, BLOCK)).tolist()
        for n, lo in enumerate(range(0, len(user), BLOCK)):
            part = slice(lo, lo + BLOCK)
            # Vectors are of unit length, so logits are at most `scale`: a constant shift keeps exponentials in range.
            weight = torch.addmm(shift, user[part], wrong.T, alpha=scale).exp_()
            hit = clash[edges[n] : edges[n + 1]]
            weight[hit[:, 0] - lo, hit[:, 1]] = 0.0
            total[part] = weight.sum(1) + own[part]
            # Dividing by the sums on the thin side spares a pass over the matrix.
            inverse = 1.0 / total[part, None]
            to_user[part] = (weight @ wrong) * inverse
            to_wrong.addmm_(weight.T, user[part] * inverse)
        pull = (own / total - 1.0)[:, None]
        ctx.save_for_backward(to_user.addcmul_(pull, right), pull * user, to_wrong)
        ctx.scale = scale / len(user)
        return (torch.log(total) - target + scale).mean()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        to_user, to_right, to_wrong = (known * (gradient * ctx.scale) for known in ctx.saved_tensors)
        return to_user, to_right, to_wrong, None, None, None


def contrast(user: Tensor, right: Tensor, wrong: Tensor, offset: Tensor, clash: Tensor, temperature: float) -> Tensor:
    """Return the mean of ``-log softmax`` of the right items against shared wrong ones.

    *user* and *right* are unit vectors ``(n, d)``, *wrong* ``(k, d)``; logits are cosines over *temperature*. *offset*
    ``(k,)`` is the log of each wrong item's expected count, taken off its logit: the logQ correction (Bengio and
    Senecal 2008; Yi et al., RecSys 2019). *clash* ``(c, 2)`` names the (example, wrong item) pairs that are right,
    by ascending example.
    """
    loss: Tensor = _Contrast.apply(user, right, wrong, offset, clash, temperature)  # type: ignore[no-untyped-call]
    return loss

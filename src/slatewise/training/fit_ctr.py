"""Fits click prediction: learns on training rows, validation rows choose the pass and calibrate. Reads no files."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from slatewise.datasets.ctr import Examples
from slatewise.domain.errors import TrainingError
from slatewise.training.calibration import Column, platt
from slatewise.training.ctr_module import CtrModule
from slatewise.training.progress import Progress, Silent

Logits = npt.NDArray[np.float64]

WARMUP = 50
"""Steps over which the learning rate rises; normalisation and moments settle meanwhile."""

SLOWEST = 0.02
"""Share of the learning rate that the last steps have."""

NEWTON_STEPS = 100
RIDGE = 1e-3
CHUNK = 8192
"""Rows scored at once, which bounds the memory."""


@dataclass(frozen=True, slots=True)
class CtrRecipe:
    """How the module is made and fitted. The defaults were chosen on validation rows of one public log (frappe).

    ``l2`` pulls the whole embedding table towards zero at every step, used or not, through Adam's moments: rare values
    are forgotten unless they keep proving themselves. It is what keeps id pairs from being memorised. ``average`` is
    the most that the running average of the weights keeps per step (Polyak and Juditsky, 1992).
    """

    dim: int = 16
    width: int = 400
    heads: int = 2
    rank: int = 32
    layers: int = 3
    dropout: float = 0.4
    l2: float = 0.02
    learning_rate: float = 3e-3
    batch: int = 2048
    passes: int = 16
    patience: int = 4
    average: float = 0.998


@dataclass(frozen=True, slots=True)
class Calibration:
    """A rising map of logits z: ``low * log p - high * log(1 - p) + offset`` with p = sigmoid(z); (1, 1, 0) is none.

    Beta calibration (Kull et al., AISTATS 2017): Platt's with a slope for each tail, *low* where z is negative and
    *high* where it is positive, for a module may be too sure of what it rejects and not of what it accepts.
    """

    low: float = 1.0
    high: float = 1.0
    offset: float = 0.0

    def logits(self, logit: Column) -> Logits:
        """Map ``(n,)`` to calibrated logits ``(n,)``."""
        z = logit.astype(np.float64)
        mapped: Logits = -self.low * np.logaddexp(0, -z) + self.high * np.logaddexp(0, z) + self.offset
        return mapped

    def probabilities(self, logit: Column) -> Logits:
        """Map ``(n,)`` to probabilities ``(n,)``."""
        return _sigmoid(self.logits(logit))


@dataclass(slots=True)
class CtrFit:
    """A fitted module, its best pass (1-based) and one entry per pass: loss, validation log-loss raw and calibrated."""

    model: CtrModule
    calibration: Calibration = Calibration()
    best_pass: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)

    def logits(self, value: npt.NDArray[np.int64]) -> Logits:
        """Return uncalibrated logits ``(n,)`` of ids ``(n, fields)``."""
        return _logits(self.model, torch.from_numpy(value))

    def probabilities(self, value: npt.NDArray[np.int64]) -> Logits:
        """Return calibrated probabilities ``(n,)`` of ids ``(n, fields)``."""
        return self.calibration.probabilities(self.logits(value))


def fit_ctr(
    train: Examples,
    valid: Examples,
    sizes: Sequence[int],
    recipe: CtrRecipe | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> CtrFit:
    """Fit on *train*; the pass with the least calibrated log-loss on *valid* is kept, with its calibration.

    *sizes* is the number of ids of each field, 0 (unknown) included. Nothing else is learned from *valid*. The learning
    rate falls in a line to the last pass; a fit that gains nothing for ``patience`` passes ends early. Raises
    TrainingError where either part lacks one of the labels, or its ids do not fit *sizes*.
    """
    recipe, progress = recipe or CtrRecipe(), progress or Silent()
    _check(train, sizes, "training")
    _check(valid, sizes, "validation")
    if recipe.heads < 1 or recipe.width % recipe.heads:
        raise TrainingError(f"the width of the streams, {recipe.width}, is no multiple of the {recipe.heads} heads")
    torch.manual_seed(seed)
    model = CtrModule(sizes, recipe.dim, recipe.width, recipe.heads, recipe.rank, recipe.layers, recipe.dropout)
    fit = CtrFit(copy.deepcopy(model).requires_grad_(False))
    held, best, best_loss = torch.from_numpy(valid.value), copy.deepcopy(model.state_dict()), float("inf")
    passes = _Passes(model, fit.model, train, recipe, np.random.default_rng(seed))
    for at in range(recipe.passes):
        note = f"pass {at + 1}" + (f", validation log-loss {best_loss:.4f}" if at else "")
        loss = passes.run(at, progress, note)
        logit = _logits(fit.model, held)
        calibration = calibrate(logit, valid.label)
        raw, calibrated = log_loss(logit, valid.label), log_loss(calibration.logits(logit), valid.label)
        fit.curve.append({"loss": loss, "valid_logloss_raw": raw, "valid_logloss": calibrated})
        if calibrated < best_loss:
            best_loss, fit.best_pass, fit.calibration = calibrated, at + 1, calibration
            best = copy.deepcopy(fit.model.state_dict())
        elif at + 1 - fit.best_pass >= recipe.patience:
            break
    fit.model.load_state_dict(best)
    progress.step("ctr", 1.0, 1.0, f"best pass {fit.best_pass}, validation log-loss {best_loss:.4f}")
    return fit


def calibrate(logit: Column, label: npt.NDArray[np.generic]) -> Calibration:
    """Return the rising beta calibration of ``(n,)`` logits that fits ``(n,)`` labels best, by log-loss.

    Newton's method with a whisper of ridge towards no change. Where the best map would fall in one tail, that tail is
    left flat and the other fitted alone, as the paper has it.
    """
    z, y = logit.astype(np.float64), label.astype(np.float64)
    column = np.stack([-np.logaddexp(0, -z), np.logaddexp(0, z), np.ones_like(z)], 1)
    weight = np.array([1.0, 1.0, 0.0])
    for _ in range(NEWTON_STEPS):
        p = _sigmoid(column @ weight)
        gradient = column.T @ (p - y) + RIDGE * (weight - [1.0, 1.0, 0.0])
        hessian = (column * np.maximum(p * (1 - p), 1e-9)[:, None]).T @ column + RIDGE * np.eye(3)
        change = np.linalg.solve(hessian, gradient)
        weight = weight - np.clip(change, -0.5, 0.5)
        if np.abs(change).max() < 1e-6:
            break
    low, high, offset = (float(part) for part in weight)
    if low <= 0:
        high, offset = platt(column[:, 1], y)
        return Calibration(0.0, high, offset)
    if high <= 0:
        low, offset = platt(column[:, 0], y)
        return Calibration(low, 0.0, offset)
    return Calibration(low, high, offset)


def log_loss(logit: Column, label: npt.NDArray[np.generic]) -> float:
    """Return the mean negative log-likelihood, in nats, of ``(n,)`` labels under ``(n,)`` logits; NaN of nothing."""
    z, y = logit.astype(np.float64), label.astype(np.float64)
    return float(np.mean(np.logaddexp(0, z) - y * z)) if z.size else float("nan")


class _Passes:
    """Goes over the training rows; after each step *averaged* follows *model*."""

    def __init__(
        self, model: CtrModule, averaged: CtrModule, train: Examples, recipe: CtrRecipe, rng: np.random.Generator
    ) -> None:
        self.model, self.averaged, self.recipe, self.rng = model, averaged, recipe, rng
        self.value, self.label = torch.from_numpy(train.value), torch.from_numpy(train.label)
        table = model.embedding.weight
        rest = [weight for weight in model.parameters() if weight is not table]
        # Adam's weight_decay is the gradient of an L2 penalty, which is meant here: AdamW's would not be the same.
        groups: list[dict[str, Any]] = [{"params": [table], "weight_decay": recipe.l2}, {"params": rest}]
        self.optimiser = torch.optim.Adam(groups)
        self.steps = 0

    def run(self, at: int, progress: Progress, note: str) -> float:
        """Go over all rows once, as pass *at*; return the mean loss per batch."""
        self.model.train()
        order = torch.from_numpy(self.rng.permutation(len(self.label)))
        parts = [order[lo : lo + self.recipe.batch] for lo in range(0, len(order), self.recipe.batch)]
        # One row alone has no variance to normalise by.
        parts = [part for part in parts if len(part) > 1]
        total = 0.0
        for place, part in enumerate(parts):
            done = (at + place / len(parts)) / self.recipe.passes
            rate = self.recipe.learning_rate * min(1.0, (self.steps + 1) / WARMUP) * max(SLOWEST, 1 - done)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            loss = functional.binary_cross_entropy_with_logits(self.model(self.value[part]), self.label[part])
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            self.optimiser.step()
            self._follow()
            total += float(loss.detach())
            progress.step("ctr", done, 1.0, note)
        return total / max(len(parts), 1)

    @torch.no_grad()
    def _follow(self) -> None:
        # Early weights are soon forgotten: the average's span grows with the steps taken.
        kept = min(self.recipe.average, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        source = self.model.state_dict()
        for name, average in self.averaged.state_dict().items():
            if average.dtype.is_floating_point:
                average.lerp_(source[name], 1 - kept)
            else:
                average.copy_(source[name])


@torch.no_grad()
def _logits(model: nn.Module, value: Tensor) -> Logits:
    model.eval()
    parts = [model(value[lo : lo + CHUNK]).double().numpy() for lo in range(0, len(value), CHUNK)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _check(examples: Examples, sizes: Sequence[int], part: str) -> None:
    if np.unique(examples.label).size < 2:
        raise TrainingError(f"the {part} rows hold one kind of label only: there is nothing to tell apart")
    if examples.value.shape[1] != len(sizes) or not ((examples.value >= 0) & (examples.value < np.array(sizes))).all():
        raise TrainingError(f"the {part} rows hold ids outside those of the {len(sizes)} fields")


def _sigmoid(logit: Logits) -> Logits:
    probability: Logits = 1.0 / (1.0 + np.exp(-np.clip(logit, -30, 30)))
    return probability

"""Fits the deep ranker and its small variant on slates: the pass that orders held-back slates best; calibration."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from slatewise.domain.ids import Mask
from slatewise.domain.settings import TrainingSettings
from slatewise.ports.clock import Clock
from slatewise.training.calibration import calibration_error, platt
from slatewise.training.progress import Progress
from slatewise.training.ranker_loss import SlateLoss
from slatewise.training.ranker_module import AFFINITY, Calibrated, RankerModule, SmallRanker
from slatewise.training.ranker_slates import (
    RankerData,
    sampled_columns,
    shuffled_batches,
    slate_ndcg,
    slate_ndcgs,
)
from slatewise.training.slates import ENOUGH_SHOWN, Slates, judged_slates

BATCH = 64
LEARNING_RATE = 1e-3
SMALL_LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-3
DROPOUT = 0.3
WINDOW_SHARE = 0.05
"""Share of the planned steps that mean weights look back over (Polyak & Juditsky, 1992; exponential here)."""
FASTER = 20.0
SLOWER = 0.3
"""Rate of what an action has of its own beside what all have in common."""
UPDATES = 600
"""Updates after which further passes memorise slates, where there are slates enough (docs/experiments.md)."""
SMALL_SHARE = 0.15
"""Share of the ranker's time that the small variant may take."""


@dataclass(slots=True)
class RankerFit:
    """A fitted ranker, and on held-back users' slates its NDCG@10 beside that of the retriever's own order.

    ``earns_its_place`` is False where the ranker does not beat the retriever: then it is not shipped.
    """

    model: Calibrated
    ndcg: float = 0.0
    retrieval_ndcg: float = 0.0
    calibration: list[dict[str, float]] = field(default_factory=list)
    curve: list[dict[str, float]] = field(default_factory=list)
    position_bias: list[list[float]] = field(default_factory=list)

    @property
    def earns_its_place(self) -> bool:
        return self.ndcg > self.retrieval_ndcg


@dataclass(frozen=True, slots=True)
class Judged:
    """What a fit needs beside the model: the data, who judges, what serving makes of the heads."""

    data: RankerData
    judges: Mask
    weights: np.ndarray
    settings: TrainingSettings
    clock: Clock
    progress: Progress


def fit_ranker(given: Judged, actions: int, tokens: int, dim: int, history_length: int) -> RankerFit:
    """Train the ranker on the slates outside the judges; choose the pass and calibrate on those in it."""
    torch.manual_seed(given.settings.seed)
    _, _, features, heads = given.data.slates.shape
    model = RankerModule(dim, features, actions, tokens, heads, DROPOUT, history_length)
    return _fit(model, given, LEARNING_RATE, given.settings.ranker_minutes * (1 - SMALL_SHARE), "ranker")


def fit_small_ranker(given: Judged) -> RankerFit:
    """Train the variant for tight deadlines, in the same way."""
    torch.manual_seed(given.settings.seed)
    _, _, features, heads = given.data.slates.shape
    model = SmallRanker(features, heads, DROPOUT)
    return _fit(model, given, SMALL_LEARNING_RATE, given.settings.ranker_minutes * SMALL_SHARE, "small ranker")


def _fit(model: RankerModule | SmallRanker, given: Judged, peak: float, minutes: float, task: str) -> RankerFit:
    slates, settings = given.data.slates, given.settings
    judge, train = np.flatnonzero(given.judges), np.flatnonzero(~given.judges)
    held: Mask = np.asarray(slates.candidate[train] >= 0)
    wanted: Mask = np.asarray(slates.label[train].any(2))
    model.numbers.fit(slates.feature[train][held], wanted[held])
    fit = RankerFit(model)
    useful, calibrating = judged_slates(slates, given.judges), calibrating_slates(slates, judge)
    asked = np.union1d(useful, calibrating)
    fit.retrieval_ndcg = slate_ndcg(slates.feature[useful][..., AFFINITY], slates, useful)
    if not slates.label[train].any():
        return fit  # whoever judges has all that was wanted: nothing is learned, and nothing shipped
    # A slate of which nothing was taken tells what is not wanted; a retrieved list without the wanted tells nothing.
    train = train[slates.label[train].any((1, 2)) | (slates.position[train] >= 0).any(1)]
    loss_of = SlateLoss.starting_from(slates, train, settings.position_bias == "corrected")
    own = list(model.heads.own.parameters())
    shared = [p for p in model.parameters() if all(p is not q for q in own)]
    # One number per place moves by its own rate alone: at the network's it would not arrive before the passes end.
    groups = [
        {"params": shared, "weight_decay": WEIGHT_DECAY, "times": 1.0},
        {"params": own, "weight_decay": WEIGHT_DECAY, "times": SLOWER},
        {"params": list(loss_of.parameters()), "weight_decay": 0.0, "times": FASTER},
    ]
    optimiser = torch.optim.AdamW(groups, lr=peak)
    rng = np.random.default_rng(settings.seed)
    start, budget_ms = given.clock.elapsed_ms(), minutes * 60_000
    best_state, best = copy.deepcopy(model.state_dict()), None
    batches = max(1, math.ceil(train.size / BATCH))
    # Judged and shipped are mean weights: those of single steps differ in what they make of rare candidates.
    passes = min(settings.ranker_epochs, math.ceil(UPDATES / batches))
    window = max(WINDOW_SHARE * passes * batches, 1.0)
    decay = get_ema_multi_avg_fn(1.0 - 1.0 / window)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    mean = AveragedModel(model, multi_avg_fn=decay)
    averaged = cast("RankerModule | SmallRanker", mean.module)
    loss = torch.tensor(math.nan)  # of a pass that time ends before its first update
    for epoch in range(passes):
        model.train()
        for step, at in enumerate(shuffled_batches(slates, train, BATCH, rng)):
            spent = (given.clock.elapsed_ms() - start) / budget_ms
            done = max((epoch + step / batches) / passes, spent)
            if done >= 1.0:
                break
            for group in optimiser.param_groups:
                group["lr"] = group["times"] * peak * min(1.0, (epoch * batches + step + 1) / 50) * max(0.05, 1 - done)
            columns = sampled_columns(slates, at, rng)
            loss = loss_of(logits_of(model, given.data.inputs(at, columns)), slates, at, columns)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            mean.update_parameters(model)
            given.progress.step(task, done, 1.0, f"pass {epoch + 1}, validation NDCG@10 {max(fit.ndcg, 0.0):.4f}")
        # As served: logits have no origin of their own, only calibrated ones of several heads can be added up.
        logits = judged_logits(averaged, given.data, asked)
        calibration = calibrate(averaged, loss_of, slates, calibrating, logits[np.searchsorted(asked, calibrating)])
        logits = logits[np.searchsorted(asked, useful)]
        ndcg = slate_ndcg(scores(averaged, logits, given.weights), slates, useful)
        # What was clicked where it stood is judged where it stood: else whoever takes places for taste looks best.
        seen = loss_of.log_seen(slates.position[useful])
        placed = slate_ndcgs(scores(averaged, logits, given.weights, seen), slates, useful)
        fit.curve.append(
            {"loss": float(loss.detach()), "ndcg@10": ndcg, "placed_ndcg@10": float(placed.sum() / max(placed.size, 1))}
        )
        if not is_clearly_worse(placed, best):
            best = placed if best is None or placed.sum() > best.sum() else best
            best_state, fit.ndcg = copy.deepcopy(averaged.state_dict()), ndcg
            fit.calibration, fit.position_bias = calibration, loss_of.log_seen(np.arange(10)).detach().T.tolist()
        if given.clock.elapsed_ms() - start >= budget_ms:
            break
    model.load_state_dict(best_state)
    told = f"validation NDCG@10 {fit.ndcg:.4f}, retrieval's order {fit.retrieval_ndcg:.4f}"
    given.progress.step(task, 1.0, 1.0, told)
    return fit


def is_clearly_worse(ndcg: np.ndarray, best: np.ndarray | None) -> bool:
    """Return whether slates judge a pass worse than the *best* so far by more than a standard error of the difference.

    A few hundred users cannot tell passes apart that differ by less, and the later one has the calmer weights.
    """
    if best is None or not ndcg.size:
        return False
    worse = best - ndcg
    return float(worse.mean()) > float(worse.std()) / math.sqrt(worse.size)


def logits_of(model: RankerModule | SmallRanker, inputs: dict[str, Tensor]) -> Tensor:
    """Return the module's logits ``(l, k, heads)`` for inputs by name; the small variant reads features alone."""
    logits: Tensor = model(inputs["feature"]) if isinstance(model, SmallRanker) else model(**inputs)
    return logits


@torch.no_grad()
def judged_logits(model: RankerModule | SmallRanker, data: RankerData, at: np.ndarray) -> Tensor:
    """Return the logits of all candidates of these slates, ``(l, k, heads)``, 0 in the padding.

    About as long slates together: ten shown items would cost what a retrieved list costs.
    """
    model.eval()
    _, width, _, heads = data.slates.shape
    logits = torch.zeros(at.size, width, heads)
    held = (data.slates.candidate[at] >= 0).sum(1)
    order = np.argsort(held, kind="stable")
    for lo in range(0, at.size, BATCH):
        part = order[lo : lo + BATCH]
        columns = np.arange(max(1, int(held[part[-1]])))
        inputs = data.inputs(at[part], np.broadcast_to(columns, (part.size, columns.size)))
        logits[torch.from_numpy(part), : columns.size] = logits_of(model, inputs)
    return logits


@torch.no_grad()
def scores(
    model: RankerModule | SmallRanker, logits: Tensor, weights: np.ndarray, log_seen: Tensor | None = None
) -> np.ndarray:
    """Return the weighted sum of the heads' probabilities, ``(l, k)``: the score that serving ranks by.

    With *log_seen*, each candidate that was shown scores as where it stood, not as where it is surely looked at.
    """
    probability = model.probabilities(logits)
    if log_seen is not None:
        probability = probability * log_seen.exp()
    found: np.ndarray = (probability * torch.from_numpy(weights.astype(np.float32))).sum(-1).numpy()
    return found


def calibrating_slates(slates: Slates, judge: np.ndarray) -> np.ndarray:
    """Return which of the slates *judge* calibrate, as places.

    Where enough was really shown, that alone: a probability is then that of the action once looked at, as at the best
    place. Else retrieved lists that hold something wanted.
    """
    shown = judge[(slates.position[judge] >= 0).any(1)]
    return shown if shown.size >= ENOUGH_SHOWN else np.setdiff1d(judge, shown)


@torch.no_grad()
def calibrate(
    model: RankerModule | SmallRanker, loss: SlateLoss, slates: Slates, at: np.ndarray, logits: Tensor
) -> list[dict[str, float]]:
    """Fit slope and offset per head (Platt 1999) on the slates *at*, held back, and report the error that is left.

    *logits* ``(l, k, heads)`` are theirs.
    """
    if not at.size:
        return []
    held = slates.candidate[at] >= 0
    logit = logits.numpy()[held].astype(np.float64)
    seen = loss.log_seen(slates.position[at]).exp().numpy()[held].astype(np.float64)
    label = slates.label[at][held].astype(np.float64)
    report: list[dict[str, float]] = []
    for head in range(logit.shape[1]):
        slope, offset = platt(logit[:, head], label[:, head], seen[:, head])
        model.slope[head], model.offset[head] = slope, offset
        probability = seen[:, head] / (1.0 + np.exp(-(logit[:, head] * slope + offset)))
        report.append(
            {
                "slope": slope,
                "offset": offset,
                "ece": calibration_error(probability, label[:, head]),
                "rate": float(label[:, head].mean()),
            }
        )
    return report

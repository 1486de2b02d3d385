"""Fits the deep ranker on slates: listwise softmax per action, position bias learned apart, then calibration."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from slatewise.domain.ids import Mask, Vectors
from slatewise.domain.settings import TrainingSettings
from slatewise.ports.clock import Clock
from slatewise.training.progress import Progress
from slatewise.training.ranker_module import AFFINITY, RankerModule
from slatewise.training.slates import Slates

BATCH = 64
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-3
DROPOUT = 0.1
VALIDATION_SHARE = 0.1
PLACES = 50
MASKED = -1e9
SAMPLED = 64
"""Candidates of a slate one update looks at: all that were wanted, the others by chance. Judged on whole slates."""


@dataclass(slots=True)
class RankerFit:
    """A fitted ranker, and on held-back users' slates its NDCG@10 beside that of the retriever's own order.

    ``earns_its_place`` is False where the ranker does not beat the retriever: then it is not shipped.
    """

    model: RankerModule
    ndcg: float = 0.0
    retrieval_ndcg: float = 0.0
    calibration: list[dict[str, float]] = field(default_factory=list)
    curve: list[dict[str, float]] = field(default_factory=list)

    @property
    def earns_its_place(self) -> bool:
        return self.ndcg > self.retrieval_ndcg


class RankerData:
    """Slates and the frozen item arrays as tensors."""

    def __init__(self, slates: Slates, embeddings: Vectors, vectors: Vectors) -> None:
        self.slates = slates
        self._embeddings = torch.from_numpy(embeddings)
        self._vectors = torch.from_numpy(vectors)

    def inputs(self, at: np.ndarray, columns: np.ndarray | None = None) -> tuple[Tensor, ...]:
        """Return the module's inputs for these slates; of each, all candidates or those in *columns* ``(l, n)``."""
        s = self.slates
        chosen, feature = s.candidate[at], s.feature[at]
        if columns is not None:
            chosen = np.take_along_axis(chosen, columns, 1)
            feature = np.take_along_axis(feature, columns[..., None], 1)
        held = torch.from_numpy((s.past.row[at] >= 0).astype(np.float32))
        item = self._embeddings[torch.from_numpy(np.maximum(s.past.row[at], 0))] * held[..., None]
        candidate = self._vectors[torch.from_numpy(np.maximum(chosen, 0))]
        return (
            item,
            torch.from_numpy(s.past.action[at]),
            torch.from_numpy(s.past.gap[at]),
            held,
            torch.from_numpy(s.vector[at]),
            candidate,
            torch.from_numpy(feature),
        )


def judging(slates: Slates, seed: int) -> Mask:
    """Mark the slates of a tenth of the users, who judge and calibrate and are not learned from."""
    chosen = np.random.default_rng(seed).permutation(np.unique(slates.user))[: _validation_users(slates)]
    return np.isin(slates.user, chosen)


def fit_ranker(
    slates: Slates,
    judges: Mask,
    embeddings: Vectors,
    vectors: Vectors,
    actions: int,
    weights: np.ndarray,
    history_length: int,
    settings: TrainingSettings,
    clock: Clock,
    progress: Progress,
) -> RankerFit:
    """Train on the slates outside *judges*; choose the pass and calibrate on those in it.

    *weights* ``(heads,)`` price the heads' probabilities, as serving does.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    heads = slates.label.shape[2]
    model = RankerModule(vectors.shape[1], slates.feature.shape[2], actions, heads, DROPOUT, history_length)
    data = RankerData(slates, embeddings, vectors)
    train, judge = np.flatnonzero(~judges), np.flatnonzero(judges)
    _standardise(model, slates.feature[train], slates.candidate[train] >= 0)
    fit = RankerFit(model)
    useful = judge[slates.label[judge].any((1, 2))]
    fit.retrieval_ndcg = _ndcg(slates.feature[useful][..., AFFINITY], slates, useful)
    _train(fit, data, train[slates.label[train].any((1, 2))], judge, weights, settings, clock, progress, rng)
    return fit


def _validation_users(slates: Slates) -> int:
    users = np.unique(slates.user).size
    return max(1, math.ceil(users * VALIDATION_SHARE)) if users > 1 else 0


def _standardise(model: RankerModule, feature: np.ndarray, held: np.ndarray) -> None:
    flat = feature[held]
    known = np.isfinite(flat)
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known, flat, 0.0).sum(0, dtype=np.float64) / count
    variance = (np.where(known, flat - mean, 0.0) ** 2).sum(0, dtype=np.float64) / count
    model.mean.copy_(torch.from_numpy(mean.astype(np.float32)))
    model.std.copy_(torch.from_numpy((np.sqrt(variance) + 1e-3).astype(np.float32)))


def _train(
    fit: RankerFit,
    data: RankerData,
    train: np.ndarray,
    judge: np.ndarray,
    weights: np.ndarray,
    settings: TrainingSettings,
    clock: Clock,
    progress: Progress,
    rng: np.random.Generator,
) -> None:
    model, slates = fit.model, data.slates
    useful = judge[slates.label[judge].any((1, 2))]
    # Position bias is learned beside the ranker and left out at serving (PAL: Guo et al., RecSys 2019).
    bias = nn.Parameter(torch.zeros(slates.label.shape[2], PLACES + 1))
    optimiser = torch.optim.AdamW([*model.parameters(), bias], lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    start, budget_ms = clock.elapsed_ms(), settings.ranker_minutes * 60_000
    best_state, best = copy.deepcopy(model.state_dict()), -1.0
    batches = max(1, math.ceil(train.size / BATCH))
    for epoch in range(settings.ranker_epochs):
        rng.shuffle(train)
        model.train()
        for step in range(batches):
            done = max((epoch + step / batches) / settings.ranker_epochs, (clock.elapsed_ms() - start) / budget_ms)
            if done >= 1.0:
                break
            for group in optimiser.param_groups:
                group["lr"] = LEARNING_RATE * min(1.0, (epoch * batches + step + 1) / 50) * max(0.05, 1 - done)
            loss = _listwise(model, data, train[step * BATCH : (step + 1) * BATCH], bias, rng)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            progress.step("ranker", done, 1.0, f"pass {epoch + 1}, validation NDCG@10 {max(best, 0.0):.4f}")
        # As served: logits of a listwise loss have no origin, only calibrated ones of several heads can be added up.
        calibration = _calibrate(model, data, judge)
        ndcg = _ndcg(_scores(model, data, useful, weights), slates, useful)
        fit.curve.append({"loss": float(loss.detach()), "ndcg@10": ndcg})
        if ndcg > best:
            best, best_state, fit.calibration = ndcg, copy.deepcopy(model.state_dict()), calibration
        if clock.elapsed_ms() - start >= budget_ms:
            break
    model.load_state_dict(best_state)
    fit.ndcg = best
    progress.step("ranker", 1.0, 1.0, f"validation NDCG@10 {best:.4f}, retrieval's order {fit.retrieval_ndcg:.4f}")


def _listwise(model: RankerModule, data: RankerData, at: np.ndarray, bias: Tensor, rng: np.random.Generator) -> Tensor:
    """Softmax over each slate per head, averaged over what was wanted (ListNet with binary relevance)."""
    columns = _sampled_columns(data.slates, at, rng)
    position = np.take_along_axis(data.slates.position[at], columns, 1)
    label = np.take_along_axis(data.slates.label[at], columns[..., None], 1)
    padding = np.take_along_axis(data.slates.candidate[at], columns, 1) < 0
    logits = model(*data.inputs(at, columns))
    place = torch.from_numpy(np.where(position < 0, PLACES, np.minimum(position, PLACES - 1)))
    logits = logits + bias.T[place] * (place < PLACES).to(logits.dtype)[..., None]
    log_share = logits.masked_fill(torch.from_numpy(padding)[..., None], MASKED).log_softmax(1)
    wanted = torch.from_numpy(label).to(logits.dtype)
    loss: Tensor = -(log_share * wanted).sum() / wanted.sum().clamp(min=1.0)
    return loss


def _sampled_columns(slates: Slates, at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    key = rng.random(slates.candidate[at].shape)
    key[slates.label[at].any(2)] = 2.0
    key[slates.candidate[at] < 0] = -1.0
    kept = min(SAMPLED, key.shape[1])
    return np.argpartition(-key, kept - 1, axis=1)[:, :kept]


@torch.no_grad()
def _scores(model: RankerModule, data: RankerData, at: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted sum of the heads' probabilities, ``(l, k)``."""
    model.eval()
    price = torch.from_numpy(weights.astype(np.float32))
    parts = [(model.probabilities(logits) * price).sum(-1).numpy() for logits in _logits(model, data, at)]
    return np.concatenate(parts) if parts else np.zeros((0, data.slates.candidate.shape[1]), np.float32)


def _logits(model: RankerModule, data: RankerData, at: np.ndarray) -> list[Tensor]:
    return [model(*data.inputs(at[lo : lo + 256])) for lo in range(0, at.size, 256)]


def _ndcg(score: np.ndarray, slates: Slates, at: np.ndarray, k: int = 10) -> float:
    """NDCG@k over the slates' own candidates; what retrieval missed is not the ranker's to find."""
    if not at.size:
        return 0.0
    score = np.where(slates.candidate[at] < 0, -np.inf, np.nan_to_num(score, nan=-1e9))
    order = np.argsort(-score, axis=1, kind="stable")[:, :k]
    hit = np.take_along_axis(slates.label[at].any(2), order, 1)
    discount = 1.0 / np.log2(np.arange(2, order.shape[1] + 2))
    wanted = np.minimum(slates.label[at].any(2).sum(1), k)
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(wanted, discount.size)]
    return float(((hit * discount).sum(1) / np.maximum(ideal, 1e-9)).mean())


@torch.no_grad()
def _calibrate(model: RankerModule, data: RankerData, judge: np.ndarray) -> list[dict[str, float]]:
    """Fit slope and offset per head (Platt 1999) on held-back slates, and report the error that is left."""
    if not judge.size:
        return []
    model.eval()
    held = data.slates.candidate[judge] >= 0
    logits = torch.cat(_logits(model, data, judge)).numpy()[held].astype(np.float64)
    label = data.slates.label[judge][held].astype(np.float64)
    report: list[dict[str, float]] = []
    for head in range(logits.shape[1]):
        slope, offset = _platt(logits[:, head], label[:, head])
        model.slope[head], model.offset[head] = slope, offset
        probability = 1.0 / (1.0 + np.exp(-(logits[:, head] * slope + offset)))
        report.append(
            {
                "slope": slope,
                "offset": offset,
                "ece": _calibration_error(probability, label[:, head]),
                "rate": float(label[:, head].mean()),
            }
        )
    return report


def _platt(logit: np.ndarray, label: np.ndarray, steps: int = 50) -> tuple[float, float]:
    slope, offset = 1.0, 0.0
    for _ in range(steps):
        p = 1.0 / (1.0 + np.exp(-np.clip(logit * slope + offset, -30, 30)))
        weight = np.maximum(p * (1 - p), 1e-9)
        gradient = np.array([((p - label) * logit).sum(), (p - label).sum()])
        hessian = np.array(
            [[(weight * logit**2).sum() + 1e-3, (weight * logit).sum()], [(weight * logit).sum(), weight.sum() + 1e-3]]
        )
        change = np.linalg.solve(hessian, gradient)
        slope, offset = slope - float(np.clip(change[0], -1, 1)), offset - float(np.clip(change[1], -2, 2))
        if np.abs(change).max() < 1e-6:
            break
    # A slope at or below zero would turn the ranking round: then the head knows nothing and the rate is all it says.
    return (max(slope, 1e-3), offset)


def _calibration_error(probability: np.ndarray, label: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error over bins of equal counts."""
    order = np.argsort(probability, kind="stable")
    parts = np.array_split(order, bins)
    gaps = [abs(probability[part].mean() - label[part].mean()) * part.size for part in parts if part.size]
    return float(sum(gaps) / max(label.size, 1))

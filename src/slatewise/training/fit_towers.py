"""Runs tower training to its end: schedule, validation, early stopping, checkpoints."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch

from slatewise.domain.columns import Interactions
from slatewise.domain.settings import TrainingSettings
from slatewise.ports.clock import Clock
from slatewise.training.checkpoint import Checkpoint
from slatewise.training.material import Histories, Material
from slatewise.training.progress import Progress
from slatewise.training.retriever import Retriever, deep_retriever
from slatewise.training.tower_modules import TwoTower
from slatewise.training.tower_training import TowerData, TowerFit, TowerTrainer
from slatewise.training.windows import pad_histories

WARM_UP_STEPS_SHARE = 0.02
FLOOR = 0.03


@dataclass(frozen=True, slots=True)
class Validation:
    """Held-back last items of some users: the judge of passes, never trained on."""

    user: np.ndarray
    rows: np.ndarray
    action: np.ndarray
    gap: np.ndarray
    target: np.ndarray
    seen: list[np.ndarray]

    @staticmethod
    def of(known: Interactions, held: Interactions, length: int) -> Validation:
        """Pair each held interaction with its user's history in *known*, newest *length* interactions."""
        histories = Histories.of(known)
        at = np.searchsorted(histories.user, held.user)
        found = (at < len(histories)) & (histories.user[np.minimum(at, len(histories) - 1)] == held.user)
        past = [histories.history(i) for i in at[found].tolist()]
        rows, action, gap = pad_histories(past, length)
        return Validation(held.user[found], rows, action, gap, held.item[found], [h.row for h in past])

    def ndcg(self, retriever: Retriever, material: Material, k: int = 10) -> float:
        """Return NDCG@k over the whole catalogue, the user's history left out."""
        gains: list[np.ndarray] = []
        for lo in range(0, len(self.user), 256):
            part = slice(lo, lo + 256)
            bag = material.user_bags(self.user[part])
            user = retriever.encode(self.rows[part], self.action[part], self.gap[part], bag)
            score = user @ retriever.vectors.T
            target = self.target[part]
            right = score[np.arange(len(target)), target]
            for i, seen in enumerate(self.seen[part]):
                score[i, seen] = -np.inf
            rank = (score > right[:, None]).sum(1)
            gains.append(np.where(rank < k, 1.0 / np.log2(rank + 2.0), 0.0))
        return float(np.concatenate(gains).mean()) if gains else 0.0


def fit_towers(
    model: TwoTower,
    material: Material,
    validation: Validation,
    settings: TrainingSettings,
    checkpoint: Checkpoint | None,
    clock: Clock,
    progress: Progress,
) -> TowerFit:
    """Train until the passes, the minutes or the patience are used up; return the towers of the best pass.

    The rate follows a cosine over whichever budget ends first, so a run cut by time still anneals. A run that was
    interrupted goes on from *checkpoint* after its last whole pass, the time it had spent counted in.
    """
    data = TowerData(material)
    trainer = TowerTrainer(model, data, settings)
    fit = TowerFit(model)
    best, best_state, spent_ms = -1.0, copy.deepcopy(model.state_dict()), 0.0
    resumed = checkpoint.load(trainer, fit) if checkpoint else None
    if resumed is not None:
        best, best_state, spent_ms = resumed
    start = clock.elapsed_ms() - spent_ms
    budget_ms = settings.minutes * 60_000
    for epoch in range(len(fit.curve), settings.epochs):

        def rate(share: float, epoch: int = epoch, best: float = max(best, 0.0)) -> float | None:
            spent = (clock.elapsed_ms() - start) / budget_ms
            if spent >= 1.0:
                return None
            # Time moves the schedule only once it runs ahead of it, so a run with time to spare is repeatable.
            planned = (epoch + share) / settings.epochs
            done = spent if spent > max(planned, WARM_UP_STEPS_SHARE) else planned
            progress.step("towers", done, 1.0, f"pass {epoch + 1}, validation NDCG@10 {best:.4f}")
            warm = min(1.0, (done + 1e-6) / WARM_UP_STEPS_SHARE)
            return settings.learning_rate * warm * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * done)))

        loss = trainer.one_pass(rate)
        ndcg = validation.ndcg(deep_retriever(model, material), material)
        fit.curve.append({"loss": math.nan if loss is None else loss, "ndcg@10": ndcg})
        if ndcg > best:
            best, fit.best_epoch = ndcg, epoch + 1
            best_state = copy.deepcopy(model.state_dict())
        if loss is None or epoch + 1 - fit.best_epoch >= settings.patience:
            break
        if checkpoint is not None:
            checkpoint.save(trainer, fit, best, best_state, clock.elapsed_ms() - start)
    model.load_state_dict(best_state)
    progress.step("towers", 1.0, 1.0, f"best pass {fit.best_epoch}, validation NDCG@10 {best:.4f}")
    return fit


def refresh_towers(
    model: TwoTower, material: Material, settings: TrainingSettings, passes: int, clock: Clock, progress: Progress
) -> None:
    """Let fitted towers see *material*, the newest interactions included, for a few passes at a falling small rate."""
    trainer = TowerTrainer(model, TowerData(material), settings)
    for epoch in range(passes):

        def rate(share: float, epoch: int = epoch) -> float:
            done = (epoch + share) / passes
            progress.step("refresh towers", done, 1.0)
            return settings.learning_rate * 0.3 * (1 - done)

        trainer.one_pass(rate)
    progress.step("refresh towers", 1.0, 1.0)


def use_threads(settings: TrainingSettings) -> None:
    """Let torch use the settings' number of threads; 0 keeps its own choice, all cores."""
    if settings.threads:
        torch.set_num_threads(settings.threads)

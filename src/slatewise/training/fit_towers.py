"""Runs tower training to its end: schedule, validation, early stopping, checkpoints."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path

import torch

from slatewise.domain.settings import TrainingSettings
from slatewise.ports.clock import Clock
from slatewise.training.checkpoint import Checkpoint
from slatewise.training.material import Material
from slatewise.training.progress import Progress
from slatewise.training.retriever import deep_retriever
from slatewise.training.stream import kept_histories
from slatewise.training.tower_modules import TwoTower
from slatewise.training.tower_training import TowerData, TowerFit, TowerTrainer
from slatewise.training.validation import Validation

WARM_UP_STEPS_SHARE = 0.02
FLOOR = 0.03


def fit_towers(
    model: TwoTower,
    material: Material,
    validation: Validation,
    settings: TrainingSettings,
    checkpoint: Checkpoint | None,
    clock: Clock,
    progress: Progress,
    work: Path | None = None,
    watch: Callable[[int, float], None] | None = None,
) -> TowerFit:
    """Train until the passes, the minutes or the patience are used up; return the towers of the best pass.

    The rate follows a cosine over whichever budget ends first, so a run cut by time still anneals. A run that was
    interrupted goes on from *checkpoint* after its last whole pass, the time it had spent counted in. With a folder
    *work*, many interactions are streamed from a file in it: see `training.stream_from`. *watch* is told each pass and
    its NDCG@10, and may raise to give up.
    """
    with kept_histories(material.interactions, work, settings.stream_from) as histories:
        trainer = TowerTrainer(model, TowerData(material, histories), settings)
        return _fit(trainer, validation, checkpoint, clock, progress, watch)


def _fit(
    trainer: TowerTrainer,
    validation: Validation,
    checkpoint: Checkpoint | None,
    clock: Clock,
    progress: Progress,
    watch: Callable[[int, float], None] | None,
) -> TowerFit:
    model, material, settings = trainer.model, trainer.data.material, trainer.settings
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
        ndcg = validation.ndcg(deep_retriever(model, material).by_vectors(validation, material))
        fit.curve.append({"loss": math.nan if loss is None else loss, "ndcg@10": ndcg})
        if watch is not None:
            watch(epoch + 1, ndcg)
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
    model: TwoTower,
    material: Material,
    settings: TrainingSettings,
    passes: int,
    clock: Clock,
    progress: Progress,
    work: Path | None = None,
) -> None:
    """Let fitted towers see *material*, the newest interactions included, for a few passes at a falling small rate."""
    with kept_histories(material.interactions, work, settings.stream_from) as histories:
        trainer = TowerTrainer(model, TowerData(material, histories), settings)
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

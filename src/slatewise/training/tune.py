"""`slatewise tune`: looks for better tower settings than the defaults, judged on the validation. Needs optuna.

Trials share one validation, one linear model and the same time each, so they compare. Trials that lag behind the
median of those before them at the same pass are given up (Optuna: Akiba et al., KDD 2019). What was tried is kept in a
journal file: the same command goes on where it was stopped.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from slatewise.domain.errors import TrainingError
from slatewise.domain.holdout import HoldoutMode
from slatewise.domain.settings import Settings, TrainingSettings
from slatewise.models.item_item import ItemItem
from slatewise.models.spectral import SpectralFactors
from slatewise.ports.clock import Clock
from slatewise.training.learn import material_of
from slatewise.training.linear import choose_linear, fit_linear
from slatewise.training.material import Material, TrainingInput
from slatewise.training.plan import Plan, cut, plan_of, positive_of
from slatewise.training.progress import Progress
from slatewise.training.visible import visible

WIDEST = 128


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting of the towers and its validation NDCG@10; None where it was given up early."""

    settings: Mapping[str, float | int]
    ndcg: float | None


@dataclass(frozen=True, slots=True)
class Tuned:
    """All trials so far, in the order they were made, and the best of them. The first one is the settings as they were.

    ``linear_ndcg`` is what the linear model reaches on the same validation.
    """

    trials: tuple[Trial, ...]
    best: Trial
    linear_ndcg: float


@dataclass(frozen=True, slots=True)
class _Prepared:
    material: Material
    plan: Plan
    lists: ItemItem
    factors: SpectralFactors
    linear_ndcg: float
    shown: int


def tune(
    given: TrainingInput,
    settings: Settings,
    holdout: HoldoutMode,
    work: Path,
    trials: int,
    clock: Clock,
    progress: Progress,
) -> Tuned:
    """Make trials until there are *trials* of them, each with ``training.minutes`` for its towers.

    *work* keeps the journal. Raises TrainingError without torch or optuna, and for data whose plan has no towers.
    """
    if importlib.util.find_spec("optuna") is None:
        raise TrainingError("tuning needs optuna: pip install 'slatewise[tune]'")
    import optuna
    from optuna.storages import journal

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    prepared = _prepare(given, settings, holdout, progress)
    work.mkdir(parents=True, exist_ok=True)
    backend = journal.JournalFileBackend(str(work / "tune.journal"))
    study = optuna.create_study(
        study_name=f"{len(prepared.material.interactions)} interactions, {settings.training.minutes:g} min",
        storage=journal.JournalStorage(backend),
        sampler=optuna.samplers.TPESampler(seed=settings.training.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=3),
        direction="maximize",
        load_if_exists=True,
    )
    if not study.trials:
        study.enqueue_trial(_as_they_are(settings.training))

    def objective(trial: Any) -> float:
        progress.step("trials", len(_finished(study)), trials)
        return _judge(prepared, replace(settings.training, **_suggest(trial)), settings, trial, clock, progress)

    missing = trials - len(_finished(study))
    if missing > 0:
        study.optimize(objective, n_trials=missing)
    progress.step("trials", trials, trials, f"best NDCG@10 {study.best_value:.4f}")
    made = tuple(Trial(t.params, t.value if t.state.name == "COMPLETE" else None) for t in _finished(study))
    return Tuned(made, Trial(study.best_params, study.best_value), prepared.linear_ndcg)


def _finished(study: Any) -> list[Any]:
    return [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]


def _prepare(given: TrainingInput, settings: Settings, holdout: HoldoutMode, progress: Progress) -> _Prepared:
    given = visible(given, holdout)
    plan = plan_of(given.interactions, settings)
    if not plan.towers:
        raise TrainingError(f"there are no towers to tune: {plan.why}")
    material, _ = material_of(given, given.interactions, settings, holdout)
    rng = np.random.default_rng(settings.training.seed)
    parts = cut(material, plan, settings, rng, len(given.impressions))
    positive = positive_of(parts.past)
    rank = settings.training.linear_rank
    choice, factors = choose_linear(positive, parts.validation, rank, WIDEST, rng, progress)
    lists = fit_linear(positive, material.n_items, choice, WIDEST, rng, progress).lists
    return _Prepared(material, plan, lists, factors, choice.ndcg, len(given.impressions))


def _as_they_are(training: TrainingSettings) -> dict[str, float | int]:
    names = ("dim", "layers", "history_length", "dropout", "temperature", "learning_rate", "negatives", "batch_size")
    return {name: getattr(training, name) for name in names}


def _suggest(trial: Any) -> dict[str, Any]:
    return {
        "dim": trial.suggest_int("dim", 32, WIDEST, step=32),
        "layers": trial.suggest_int("layers", 1, 4),
        "history_length": trial.suggest_int("history_length", 20, 300, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "temperature": trial.suggest_float("temperature", 0.02, 0.15, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 5e-3, log=True),
        "negatives": trial.suggest_int("negatives", 64, 2048, log=True),
        "batch_size": trial.suggest_int("batch_size", 8, 128, log=True),
    }


def _judge(
    prepared: _Prepared, training: TrainingSettings, settings: Settings, trial: Any, clock: Clock, progress: Progress
) -> float:
    import optuna

    from slatewise.training.fit_towers import fit_towers, use_threads
    from slatewise.training.retriever import blended, deep_retriever
    from slatewise.training.tower_training import new_towers

    use_threads(training)
    # The same generator as in preparation, so every trial is judged by the same users.
    rng = np.random.default_rng(training.seed)
    parts = cut(prepared.material, prepared.plan, replace(settings, training=training), rng, prepared.shown)
    whole = prepared.factors
    factors = SpectralFactors(
        np.ascontiguousarray(whole.input[:, : training.dim]),
        np.ascontiguousarray(whole.output[:, : training.dim]),
        whole.singular_values[: training.dim],
    )

    def watch(epoch: int, ndcg: float) -> None:
        trial.report(ndcg, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    model = new_towers(prepared.material, factors, training)
    fit_towers(model, parts.past, parts.validation, training, None, clock, progress, watch=watch)
    return blended(deep_retriever(model, prepared.material), prepared.lists, parts.validation, prepared.material)[1]

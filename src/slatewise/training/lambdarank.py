"""Boosted trees on the ranker's own slates and features: what a deep ranker has to beat. Never served.

LambdaMART (Burges, MSR-TR-2010-82), by LightGBM.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slatewise.domain.ids import Mask
from slatewise.training.slates import Slates, judged_slates

LAMBDARANK = "lambdarank.txt"
"""The file of a bundle."""

ROUNDS = 600
PATIENCE = 40
PARAMETERS = {
    "objective": "lambdarank",
    "metric": "ndcg",
    "eval_at": [10],
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 50,
    "lambdarank_truncation_level": 20,
    "verbosity": -1,
    "deterministic": True,
    "force_row_wise": True,
}


@dataclass(frozen=True, slots=True)
class Trees:
    """The fitted trees in LightGBM's text format, and their NDCG@10 on the slates that the ranker is judged on."""

    text: str
    ndcg: float
    rounds: int

    def save(self, path: Path) -> None:
        path.write_text(self.text)


def fit_lambdarank(slates: Slates, judges: Mask, seed: int, threads: int) -> Trees | None:
    """Fit on the slates outside *judges*, stopped by those in it that judge the ranker.

    None without lightgbm, or without slates of either.
    Trees have one head: an item is as relevant as the actions that it led to weigh together.
    """
    if importlib.util.find_spec("lightgbm") is None:
        return None
    import lightgbm as lgb

    gain = slates.gain(np.arange(len(slates)))
    train = np.flatnonzero(gain.any(1) & ~judges)
    judge = judged_slates(slates, judges)
    if not train.size or not judge.size:
        return None
    levels = np.unique(np.append(gain, 0.0))
    relevance = np.searchsorted(levels, gain)
    told: dict[str, dict[str, list[float]]] = {}
    data = _dataset(lgb.Dataset, slates, relevance, train)
    booster = lgb.train(
        PARAMETERS | {"seed": seed, "num_threads": threads, "label_gain": levels.tolist()},
        data,
        ROUNDS,
        valid_sets=[_dataset(lgb.Dataset, slates, relevance, judge, data)],
        callbacks=[lgb.early_stopping(PATIENCE, verbose=False), lgb.record_evaluation(told)],
    )
    best = booster.best_iteration
    return Trees(booster.model_to_string(num_iteration=best), float(max(told["valid_0"]["ndcg@10"])), best)


def _dataset(make, slates: Slates, relevance: np.ndarray, at: np.ndarray, reference=None):  # type: ignore[no-untyped-def]  # lightgbm is untyped
    # Equal scores keep the order of the rows: in retrieval's own order, a few trees that say nothing would look best.
    shuffled = np.random.default_rng(0).permuted(np.tile(np.arange(slates.candidate.shape[1]), (at.size, 1)), axis=1)
    held = np.take_along_axis(slates.candidate[at] >= 0, shuffled, 1)
    return make(
        np.take_along_axis(slates.feature[at], shuffled[..., None], 1)[held],
        label=np.take_along_axis(relevance[at], shuffled, 1)[held].astype(np.int32),
        group=held.sum(1),
        reference=reference,
        free_raw_data=True,
    )

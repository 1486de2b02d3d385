"""Opens the trees that a bundle keeps beside its deep ranker, to order the same candidates by the same features."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np

from slatewise.domain.ids import Scores
from slatewise.domain.slate import Evidence

FILE = "lambdarank.txt"

Rescore = Callable[[Evidence], Scores]
"""Scores the ranked candidates of an explained slate anew, in the order of ``evidence.row``."""


def open_lambdarank(folder: Path) -> Rescore | None:
    """Return what scores by the bundle's trees; None where it has none, or lightgbm is not installed."""
    path = folder / FILE
    if not path.exists() or importlib.util.find_spec("lightgbm") is None:
        return None
    import lightgbm as lgb

    booster = lgb.Booster(model_file=str(path))

    def rescore(evidence: Evidence) -> Scores:
        scores: Scores = np.asarray(booster.predict(evidence.features, num_threads=1), np.float32)
        return scores

    return rescore

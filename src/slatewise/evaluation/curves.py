"""Counts what the plots of a report show. Draws nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from slatewise.evaluation.lists import PerQuery, hits
from slatewise.evaluation.measure import Measured
from slatewise.evaluation.metrics.recall import recall
from slatewise.evaluation.replay import Replayed
from slatewise.evaluation.report import Curves

RECALL_AT = (1, 2, 5, 10, 20, 50, 100, 150, 200)
CURVED = ("retrieval", "filtered", "ranked")
HISTORY_FROM = (0, 1, 5, 10, 20, 50, 100, 200)
POSITIONS = 50
LATENCY_BINS = 30


def curves_of(
    replayed: Replayed,
    stages: Mapping[str, Measured],
    baselines: Mapping[str, Measured],
    history_length: npt.NDArray[np.int64],
    timing_ms: Mapping[str, PerQuery],
) -> Curves:
    """Count the plots' values; buckets without a query are left out."""
    bucket = np.digitize(history_length, HISTORY_FROM) - 1
    held = np.unique(bucket)
    ndcg = {name: measured.value["ndcg@10"] for name, measured in (dict(stages) | dict(baselines)).items()}
    return Curves(
        recall_at=RECALL_AT,
        recall=_recall(replayed),
        history_labels=tuple(_label(b) for b in held.tolist()),
        history_queries=tuple(int((bucket == b).sum()) for b in held.tolist()),
        ndcg_by_history={
            name: tuple(float(value[bucket == b].mean()) for b in held.tolist()) for name, value in ndcg.items()
        },
        positions={name: tuple(stages[name].hits[:, :POSITIONS].sum(0).tolist()) for name in (*CURVED, "final")},
        score_by_position=_scores(replayed),
        latency_ms={stage: _histogram(spent) for stage, spent in timing_ms.items()},
    )


def _recall(replayed: Replayed) -> dict[str, tuple[float, ...]]:
    targets = [case.targets for case in replayed.cases]
    curves = {}
    for name in CURVED:
        hit, counts = hits(replayed.stage(name, RECALL_AT[-1]), targets)
        curves[name] = tuple(float(recall(hit, counts, k).mean()) if len(hit) else float("nan") for k in RECALL_AT)
    return curves


def _label(bucket: int) -> str:
    low = HISTORY_FROM[bucket]
    if bucket + 1 == len(HISTORY_FROM):
        return f"{low}+"
    high = HISTORY_FROM[bucket + 1] - 1
    return str(low) if low == high else f"{low}-{high}"


def _scores(replayed: Replayed) -> dict[str, tuple[float, ...]]:
    places = [column[np.isfinite(column)] for column in replayed.score.T]
    return {
        key: tuple(float(np.quantile(place, level)) if place.size else float("nan") for place in places)
        for key, level in (("p10", 0.1), ("p50", 0.5), ("p90", 0.9))
    }


def _histogram(spent_ms: PerQuery) -> dict[str, tuple[float, ...]]:
    known = spent_ms[np.isfinite(spent_ms)]
    # A few slow outliers would squeeze everything else into one bar, so the last bin holds all above the 99th centile.
    top = float(np.quantile(known, 0.99)) if known.size else 1.0
    counts, edges = np.histogram(np.minimum(known, top), bins=LATENCY_BINS, range=(0.0, max(top, 1e-6)))
    return {"edges": tuple(edges.tolist()), "counts": tuple(counts.tolist())}

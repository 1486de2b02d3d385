"""What an evaluation found, as plain values. Does not know how it was found, nor how it is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from slatewise.evaluation.bootstrap import Interval
from slatewise.evaluation.decomposition import Decomposition

Metrics: TypeAlias = Mapping[str, float]
"""A metric's key, such as ``ndcg@10``, to its value; NaN where it could not be measured."""


@dataclass(frozen=True, slots=True)
class Group:
    """The figures of some of the queries."""

    queries: int
    users: int
    stages: Mapping[str, Metrics]
    baselines: Mapping[str, Metrics]


@dataclass(frozen=True, slots=True)
class Curves:
    """What the plots show, already counted.

    ``recall`` maps ``retrieval``, ``filtered`` and ``ranked`` to recall at each of ``recall_at``. ``ndcg_by_history``
    maps stages and baselines to NDCG@10 per bucket of ``history_labels``, with ``history_queries`` queries each.
    ``positions`` maps a stage to how often a target stood at each 0-based position. ``score_by_position`` maps ``p10``,
    ``p50``, ``p90`` to scores per shown position. ``latency_ms`` maps a stage to ``edges`` (one more) and ``counts``.
    """

    recall_at: tuple[int, ...]
    recall: Mapping[str, tuple[float, ...]]
    history_labels: tuple[str, ...]
    history_queries: tuple[int, ...]
    ndcg_by_history: Mapping[str, tuple[float, ...]]
    positions: Mapping[str, tuple[int, ...]]
    score_by_position: Mapping[str, tuple[float, ...]]
    latency_ms: Mapping[str, Mapping[str, tuple[float, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The offline quality of each stage beside the baselines, and how sure it is.

    ``queries`` were asked of ``users`` users; ``offered`` counts the cases before sampling. ``cold`` has the
    queries with a history shorter than five, ``new`` those of users without any interaction in training (they may
    have done something since, so the groups overlap). ``repeats`` has those whose target the user had acted on
    before, ``discoveries`` the others; ``by_action`` maps what was done to the target to the queries where that was
    done. ``bootstrap`` maps a comparison to the 95 % interval of the difference in NDCG@10. ``timing_ms`` maps a
    stage to ``p50`` and ``p95``. ``lost`` says where the targets were lost, as shares that sum to 1 with ``final``;
    ``seen_targets`` is the share of targets that the rule against seen items forbids in any case.
    """

    split: str
    bundle: str
    users: int
    queries: int
    offered: int
    catalogue: int
    stages: Mapping[str, Metrics]
    baselines: Mapping[str, Metrics]
    standard_errors: Mapping[str, Mapping[str, Metrics]]
    cold: Group
    warm: Group
    new: Group
    repeats: Group
    discoveries: Group
    by_action: Mapping[str, Group]
    bootstrap: Mapping[str, Interval]
    timing_ms: Mapping[str, Metrics]
    lost: Metrics
    seen_targets: float
    degraded: Mapping[str, int]
    cached: int
    curves: Curves
    decomposition: Decomposition
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return the report as values that JSON can hold: dicts, lists, strings, finite numbers; NaN becomes null."""
        plain = _plain(self)
        if not isinstance(plain, dict):
            raise TypeError("a report is a mapping")
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Decomposition):
        return _plain(value.to_json())
    if isinstance(value, (Report, Group, Curves, Interval)):
        return {name: _plain(getattr(value, name)) for name in value.__slots__}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value

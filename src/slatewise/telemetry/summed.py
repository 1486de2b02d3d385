"""Metrics of several processes as one: what is counted adds up. Knows neither processes nor files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct
from prometheus_client import Metric

Samples: TypeAlias = list[tuple[str, dict[str, str], float]]


class Family(Struct, array_like=True, frozen=True):
    """One metric and its samples, as they are sent between processes."""

    name: str
    text: str
    kind: str
    samples: Samples


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


GAUGES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "slatewise_workers": sum,
    "slatewise_log_version": max,
    "slatewise_log_writable": min,
    "slatewise_live_bundle_info": max,
    "slatewise_index_recall": _mean,
    "slatewise_queue_depth": sum,
    "slatewise_concurrency_limit": sum,
    "slatewise_cache_bytes": sum,
    "slatewise_cache_entries": sum,
    "slatewise_cache_evictions": sum,
}
"""How gauges of several processes become one."""


def families(metrics: Iterable[Metric]) -> list[Family]:
    """Return what a registry collected."""
    return [Family(m.name, m.documentation, m.type, [(s.name, s.labels, s.value) for s in m.samples]) for m in metrics]


def counted(parts: Iterable[Family]) -> list[Family]:
    """Return what was counted and timed, without what is true of a living process only."""
    return [family for family in parts if family.kind != "gauge"]


def summed(parts: Iterable[Sequence[Family]]) -> list[Family]:
    """Return one family for all of the same name: sums of counters and buckets, gauges by `GAUGES`."""
    found: dict[str, tuple[Family, dict[tuple[str, tuple[tuple[str, str], ...]], list[float]]]] = {}
    for part in parts:
        for family in part:
            _, values = found.setdefault(family.name, (family, {}))
            for name, labels, value in family.samples:
                values.setdefault((name, tuple(labels.items())), []).append(value)
    return [
        Family(
            family.name,
            family.text,
            family.kind,
            [(name, dict(labels), _one(family, name, each)) for (name, labels), each in values.items()],
        )
        for family, values in found.values()
    ]


def as_metrics(parts: Iterable[Family]) -> list[Metric]:
    """Return families as the exposition wants them."""
    told = []
    for family in parts:
        metric = Metric(family.name, family.text, family.kind)
        for name, labels, value in family.samples:
            metric.add_sample(name, labels, value)
        told.append(metric)
    return told


def _one(family: Family, sample: str, values: Sequence[float]) -> float:
    if family.kind == "gauge":
        rule = GAUGES.get(family.name)
        return sum(values) if rule is None else rule(values)
    # When something was first counted: with the youngest process it was not.
    return min(values) if sample.endswith("_created") else sum(values)

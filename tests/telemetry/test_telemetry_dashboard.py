"""The dashboard file names what is exported, and all of it."""

import json
import re
from pathlib import Path

from slatewise.telemetry.metrics import Metrics

DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana" / "slatewise.json"


def expressions() -> list[str]:
    board = json.loads(DASHBOARD.read_text())
    return [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]


def exported() -> dict[str, set[str]]:
    """Return each metric's series names."""
    return {
        family.name: {
            "counter": {f"{family.name}_total"},
            "gauge": {family.name},
            "histogram": {f"{family.name}_{part}" for part in ("bucket", "sum", "count")},
        }[family.type]
        for family in Metrics().registry.collect()
    }


def test_every_name_in_the_dashboard_is_exported() -> None:
    known = set().union(*exported().values())
    asked = {name for expression in expressions() for name in re.findall(r"slatewise_\w+", expression)}
    assert asked, "the dashboard asks for something"
    assert asked <= known, sorted(asked - known)


def test_every_metric_is_drawn() -> None:
    drawn = " ".join(expressions())
    assert not [name for name, series in exported().items() if not any(one in drawn for one in series)]


def test_labels_in_legends_and_groups_are_labels_of_their_metric() -> None:
    metrics = Metrics()
    labels = {"instance", "le"}
    for collector in metrics.registry._collector_to_names:
        labels |= set(getattr(collector, "_labelnames", ()))
    for expression in expressions():
        for group in re.findall(r"by \(([^)]*)\)", expression):
            assert {label.strip() for label in group.split(",")} <= labels, expression

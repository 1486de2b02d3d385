"""What the ranker reads live is what training would read of the same instant."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="a ranker needs the extra slatewise[train]")
RUN = Path(__file__).parents[2] / "benchmarks" / "live_replay.py"


def test_every_feature_served_is_replayed_bit_for_bit_across_restarts(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("live_replay", RUN)
    assert spec is not None
    assert spec.loader is not None
    run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run)
    found = run.compare(tmp_path / "home", events=4000, restarts=2)
    assert found["unequal"] == 0, found["columns"]
    assert (found["restarts"], found["events"]) == (2, 4000)
    assert found["values"] > 20_000

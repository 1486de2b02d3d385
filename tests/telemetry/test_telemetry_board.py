"""Metrics of several processes, told as one by any of them."""

import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slatewise.domain.events import Receipt
from slatewise.telemetry.board import Board, _socket_of
from slatewise.telemetry.metrics import Metrics
from slatewise.telemetry.summed import GAUGES, Family, summed


@pytest.fixture
def seat(tmp_path: Path) -> Iterator[Callable[..., tuple[Metrics, Board]]]:
    boards: list[Board] = []

    def taken(number: int, refresh: Callable[[Metrics], object] = lambda metrics: None) -> tuple[Metrics, Board]:
        metrics = Metrics()
        boards.append(Board(tmp_path, number, metrics.registry, lambda: refresh(metrics)))
        metrics.share(boards[-1])
        return metrics, boards[-1]

    yield taken
    for board in boards:
        board.close()


def value(metrics: Metrics, line: str) -> float | None:
    for told in metrics.exposition().decode().splitlines():
        if told.startswith(line + " "):
            return float(told.rpartition(" ")[2])
    return None


def die(board: Board, folder: Path) -> None:
    """End a board as a killed process would: its file stays as it was last written, nobody listens."""
    held = (folder / f"{board._seat}.metrics").read_bytes()
    board.close()
    (folder / f"{board._seat}.metrics").write_bytes(held)


def test_any_process_tells_the_sum_of_what_all_counted_up_to_now(seat: Callable[..., tuple[Metrics, Board]]) -> None:
    (one, _), (two, _) = seat(0), seat(1)
    one.recorded(Receipt(accepted=3, duplicates=1, version=5))
    two.recorded(Receipt(accepted=4, duplicates=0, version=5))
    for metrics in (one, two):
        assert value(metrics, "slatewise_events_accepted_total") == 7
        assert value(metrics, "slatewise_events_duplicate_total") == 1
        assert value(metrics, "slatewise_workers") == 2
    one.visible(0.003)
    two.visible(0.7)
    assert value(two, "slatewise_freshness_seconds_count") == 2
    assert value(two, 'slatewise_freshness_seconds_bucket{le="0.005"}') == 1
    assert value(two, 'slatewise_freshness_seconds_bucket{le="1.0"}') == 2


def test_what_a_process_is_told_only_when_asked_is_asked_of_all(seat: Callable[..., tuple[Metrics, Board]]) -> None:
    one, _ = seat(0, lambda metrics: metrics.state(7, "old"))
    seat(1, lambda metrics: metrics.state(9, "new"))
    assert value(one, "slatewise_log_version") == 9, "the newest, not a sum"
    assert value(one, 'slatewise_live_bundle_info{bundle="old"}') == 1
    assert value(one, 'slatewise_live_bundle_info{bundle="new"}') == 1


def test_a_dead_process_is_counted_no_more_but_what_it_counted_is(
    seat: Callable[..., tuple[Metrics, Board]], tmp_path: Path
) -> None:
    (one, _), (two, dying) = seat(0), seat(1)
    two.recorded(Receipt(accepted=4, duplicates=0, version=5))
    assert value(one, "slatewise_events_accepted_total") == 4
    die(dying, tmp_path)
    assert value(one, "slatewise_workers") == 1
    assert value(one, "slatewise_events_accepted_total") == 4
    successor, _ = seat(1)
    successor.recorded(Receipt(accepted=1, duplicates=0, version=6))
    assert value(one, "slatewise_events_accepted_total") == 5
    assert value(successor, "slatewise_workers") == 2


def test_a_process_that_does_not_answer_costs_a_moment_and_not_the_answer(
    seat: Callable[..., tuple[Metrics, Board]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = threading.Event()
    one, _ = seat(0)
    two, _ = seat(1, lambda metrics: stuck.is_set() and gate.wait(10))
    gate = threading.Event()
    monkeypatch.setattr("slatewise.telemetry.board.PATIENCE_S", 0.05)
    two.recorded(Receipt(accepted=4, duplicates=0, version=5))
    assert value(one, "slatewise_events_accepted_total") == 4
    stuck.set()
    assert value(one, "slatewise_events_accepted_total") == 4
    gate.set()
    assert _socket_of(tmp_path, 1).exists()


def test_every_gauge_says_what_becomes_of_it() -> None:
    gauges = {family.name for family in Metrics().registry.collect() if family.type == "gauge"}
    assert gauges <= GAUGES.keys(), "add it to telemetry/summed.py"


def test_gauges_without_a_meaningful_sum_have_a_rule_of_their_own() -> None:
    def recall(value: float) -> list[Family]:
        return [Family("slatewise_index_recall", "", "gauge", [("slatewise_index_recall", {}, value)])]

    told = summed([recall(math.nan), recall(0.98), recall(0.96)])
    assert told[0].samples[0][2] == pytest.approx(0.97)
    assert math.isnan(summed([recall(math.nan)])[0].samples[0][2])


def test_labels_are_kept_apart_and_the_first_instant_counts() -> None:
    def requests(route: str, count: float, since: float) -> list[Family]:
        labels = {"route": route}
        samples = [("r_total", labels, count), ("r_created", labels, since)]
        return [Family("r", "help", "counter", samples)]

    (family,) = summed([requests("/a", 1, 50.0), requests("/b", 2, 60.0), requests("/a", 4, 70.0)])
    assert family.samples == [
        ("r_total", {"route": "/a"}, 5.0),
        ("r_created", {"route": "/a"}, 50.0),
        ("r_total", {"route": "/b"}, 2.0),
        ("r_created", {"route": "/b"}, 60.0),
    ]

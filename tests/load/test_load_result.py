"""What is made of the samples: figures, verdicts, JSON, tables, pictures."""

import io
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from rich.console import Console

from slatewise.load import wire
from slatewise.load.outcome import LOST, TIMED_OUT, UNSENT
from slatewise.load.page import page, write_page
from slatewise.load.plots import by_time, write_png
from slatewise.load.result import Result
from slatewise.load.samples import COLUMNS, Samples
from slatewise.load.table import sentences, tables


def a_result(count: int = 1000, **changes: Any) -> Result:
    """Latencies of 1 to 1000 ms in even steps, a request a millisecond, kinds in turn."""
    columns: dict[str, Any] = {
        "kind": (np.arange(count) % 3).astype(np.int8),
        "scheduled_s": np.arange(count) / 1000.0,
        "lag_s": np.full(count, 1e-4),
        "wait_s": np.zeros(count),
        "latency_s": np.arange(1, count + 1) / 1000.0,
        "status": np.full(count, 200, np.int16),
        "cached": np.zeros(count, bool),
        "degraded": np.zeros(count, bool),
    }
    facts: dict[str, Any] = {
        "name": "<run>",
        "url": "http://h",
        "rate": 1000.0,
        "arrivals": "constant",
        "seconds": 1.0,
        "ended_early": False,
        "degraded": {"fresh": {}, "returning": {"ranking: <deadline>": 3}},
        "connections": 8,
        "max_connections": 64,
        "cpu_share": 0.5,
    }
    columns |= {name: changes.pop(name) for name in COLUMNS if name in changes and name != "degraded"}
    return Result(samples=Samples(**columns), **(facts | changes))


def with_status(*statuses: int) -> Result:
    return a_result(len(statuses), status=np.array(statuses, np.int16))


def test_percentiles_are_those_of_the_samples() -> None:
    latency = a_result().figures().latency_ms
    assert list(latency) == ["p50", "p90", "p99", "p99.9", "max"]
    assert latency["p50"] == pytest.approx(500.5)
    assert latency["p99"] == pytest.approx(990.01)
    assert latency["max"] == pytest.approx(1000.0)


def test_throughput_is_what_was_answered_before_the_end() -> None:
    # Each takes as long as it is due after the start: those of the second half are answered after the end.
    assert a_result().figures().per_s == pytest.approx(500.0, abs=1.0)


def test_what_was_rejected_or_lost_has_no_latency_and_what_timed_out_has() -> None:
    result = with_status(200, 503, LOST, TIMED_OUT, 500)
    assert result.samples.is_timed.tolist() == [True, False, False, True, False]
    figures = result.figures()
    assert figures.latency_ms["max"] == pytest.approx(4.0)
    assert (figures.sent, figures.ok, figures.rejected) == (5, 1, 1)
    assert figures.errors == {"connection lost": 1, "timed out": 1, "500": 1}


@pytest.mark.parametrize(
    ("lag_ms", "latency_ms", "is_limited"),
    [(0.9, 1.0, False), (1.1, 1.0, True), (1.1, 20.0, False), (2.1, 20.0, True)],
)
def test_lag_limits_above_a_millisecond_and_a_tenth_of_the_median(
    lag_ms: float, latency_ms: float, is_limited: bool
) -> None:
    result = a_result(lag_s=np.full(1000, lag_ms / 1000), latency_s=np.full(1000, latency_ms / 1000))
    assert result.generator_limited == is_limited
    assert (result.why is not None) == is_limited


def test_a_busy_core_and_requests_never_sent_limit_too() -> None:
    assert a_result().why is None
    assert a_result(cpu_share=0.93).why == "it used 93% of a core"
    assert with_status(200, 200, UNSENT).why == "1 of 3 requests were never sent"


def test_waiting_for_connections_is_told_only_at_the_bound() -> None:
    waits = np.where(np.arange(1000) < 20, 0.5, 0.0)
    assert not a_result(wait_s=waits).connection_limited
    limited = a_result(wait_s=waits, connections=64)
    assert limited.connection_limited
    assert limited.waited == pytest.approx(0.02)
    assert "ALL 64 CONNECTIONS" in sentences(limited)[0]


def test_the_json_form_has_figures_by_kind_and_the_verdict() -> None:
    told = json.loads(msgspec.json.encode(a_result(cpu_share=0.95).to_json()))
    assert set(told["kinds"]) == {"fresh", "returning", "event"}
    for figures in (told["all"], *told["kinds"].values()):
        assert set(figures) == {
            *("sent", "ok", "rejected", "errors", "per_s"),
            *("latency_ms", "cached", "degraded", "degraded_by"),
        }
    assert told["all"]["sent"] == told["due"] == 1000
    assert told["kinds"]["event"]["cached"] is None, "events are not cached: no share"
    assert told["kinds"]["returning"]["degraded_by"] == {"ranking: <deadline>": pytest.approx(3 / 333)}
    assert (told["generator_limited"], told["connection_limited"]) == (True, False)
    assert "95%" in told["why"]
    assert set(told["generator"]) == {"lag_ms", "cpu_share", "connections", "max_connections", "wait_ms", "waited"}


def test_a_run_that_ended_before_anything_counted_is_told_without_figures() -> None:
    empty = a_result(0, seconds=0.0, ended_early=True, cpu_share=float("nan"))
    assert json.loads(msgspec.json.encode(empty.to_json()))["all"]["latency_ms"]["p50"] is None
    assert shown(empty)


def shown(result: Result) -> str:
    out = io.StringIO()
    console = Console(file=out, width=80)
    console.print(*tables(result), sep="\n")
    return out.getvalue()


def test_the_tables_fit_eighty_columns_whole() -> None:
    wide = a_result(300_000, rate=30_000.0, seconds=10.0)
    text = shown(wide)
    assert "…" not in text
    assert "300,000" in text
    for word in ("fresh", "returning", "event", "all", "p99.9", "cached", "degraded", "503"):
        assert word in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_result_passes_between_processes_unchanged() -> None:
    result = a_result(degraded={"fresh": {"x": 1}, "returning": {}})
    stream = io.BytesIO()
    wire.write(stream, wire.told(result))
    stream.seek(0)
    again = wire.heard(msgspec.msgpack.decode(wire.read(stream) or b"", type=wire.News))
    assert again.to_json() == result.to_json()
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(again.samples, name), getattr(result.samples, name))
    assert wire.read(stream) is None


def test_spans_of_time_have_their_own_median_and_maximum() -> None:
    when = np.linspace(0, 10, 600, endpoint=False)
    middle, lines = by_time(when, np.where(when < 5, 1.0, 2.0), 10.0)
    assert lines.shape == (3, len(middle))
    np.testing.assert_allclose(lines[:, middle < 4.9], 1.0)
    np.testing.assert_allclose(lines[:, middle > 5.1], 2.0)


def test_the_page_is_whole_and_escaped_and_the_picture_is_a_png(tmp_path: Path) -> None:
    failing = a_result(status=np.where(np.arange(1000) % 10, 200, 503).astype(np.int16), cpu_share=0.99)
    text = page(failing)
    assert text.count("<svg") == 2
    assert "THE GENERATOR ITSELF" in text
    assert "&lt;run&gt;" in text
    assert "<run>" not in text
    assert re.search(r"(src|href)=.http", text) is None
    write_page(failing, tmp_path / "l.html")
    assert (tmp_path / "l.html").read_text() == text
    write_png(failing, tmp_path / "l.png")
    assert (tmp_path / "l.png").read_bytes().startswith(b"\x89PNG")

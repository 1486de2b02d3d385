"""Traces, read back from the SDK's own exporter in memory."""

import sys

import numpy as np
import pytest

from slatewise.domain.candidate import Candidates
from slatewise.domain.errors import ConfigError
from slatewise.domain.query import Query
from slatewise.domain.slate import Slate
from slatewise.telemetry.spans import Spans
from slatewise.testing.small_shop import NOW, FakeClock

STAGES = {"user": 0.5, "retrieval": 2.0, "filtering": 0.25, "ranking": 8.0, "reranking": 0.25}


@pytest.fixture
def exporter():
    pytest.importorskip("opentelemetry.sdk", reason="the SDK is not installed; it comes with the development group")
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    return InMemorySpanExporter()


@pytest.fixture
def spans(exporter):
    made = Spans(FakeClock(), exporter)
    yield made
    made.close()


def slate(**more):
    shown = Candidates.of("two_tower", np.arange(3), np.ones(3, np.float32))
    facts = {
        "request_id": "r1",
        "bundle": "b1",
        "version": 7,
        "shown": shown,
        "reserve": Candidates.empty("two_tower"),
        "dropped": (),
        "retrieved": shown,
        "timing_ms": {**STAGES, "total": 12.0},
        "cursor": "secret-cursor",
    }
    return Slate(**{**facts, **more})


def finished(spans, exporter):
    assert spans.flush()
    return {span.name: span for span in exporter.get_finished_spans()}


def ms(span):
    return (span.end_time - span.start_time) / 1e6


def test_a_slate_given_once_more_is_a_trace_of_its_own(spans, exporter):
    again = spans.again(Query(request_id="r1", at=NOW, size=3, user_id="ann"), slate())
    again("r2", 0.5)
    found = finished(spans, exporter)
    assert set(found) == {"slatewise.recommend"}
    assert found["slatewise.recommend"].attributes["slatewise.request_id"] == "r2"
    assert ms(found["slatewise.recommend"]) == pytest.approx(0.5, abs=1e-3)


def test_a_slate_is_one_trace_with_a_span_per_stage_as_long_as_it_took(spans, exporter):
    spans.served(Query(request_id="r1", at=NOW, size=3, user_id="ann"), slate())
    found = finished(spans, exporter)
    root = found["slatewise.recommend"]
    assert set(found) == {"slatewise.recommend", *(f"slatewise.{stage}" for stage in STAGES)}
    assert ms(root) == pytest.approx(12.0, abs=0.01)
    assert root.end_time == pytest.approx(FakeClock().now() * 1e9, rel=1e-9)
    before = root.start_time
    for stage, took in STAGES.items():
        span = found[f"slatewise.{stage}"]
        assert span.parent.span_id == root.context.span_id
        assert span.context.trace_id == root.context.trace_id
        assert ms(span) == pytest.approx(took, abs=0.01)
        assert span.start_time >= before
        before = span.end_time
    assert before <= root.end_time


def test_a_span_says_how_the_slate_was_made_and_names_nobody(spans, exporter):
    told = slate(rung="small", cached=True, page=2, degraded=("ranking: small ranker",))
    spans.served(Query(request_id="r1", at=NOW, size=3, user_id="ann", exclude=frozenset({"i9"})), told)
    root = finished(spans, exporter)["slatewise.recommend"]
    assert dict(root.attributes) == {
        "slatewise.request_id": "r1",
        "slatewise.bundle": "b1",
        "slatewise.version": 7,
        "slatewise.size": 3,
        "slatewise.shown": 3,
        "slatewise.page": 2,
        "slatewise.cached": True,
        "slatewise.rung": "small",
        "slatewise.degraded": ("ranking: small ranker",),
    }
    assert root.resource.attributes["service.name"] == "slatewise"
    for secret in ("ann", "i9", "secret-cursor"):
        assert secret not in root.to_json()


def test_closing_sends_what_waits_and_later_slates_leave_no_span(spans, exporter):
    query = Query(request_id="r1", at=NOW)
    spans.served(query, slate())
    spans.close()
    count = len(exporter.get_finished_spans())
    assert count == 1 + len(STAGES)
    spans.served(query, slate())
    assert len(exporter.get_finished_spans()) == count


def test_without_the_sdk_the_setting_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigError, match=r"slatewise\[otel\]"):
        Spans(FakeClock())

"""The metrics and the clock."""

import numpy as np
import pytest

from slatewise.domain.candidate import Candidates
from slatewise.domain.events import Receipt
from slatewise.domain.query import Query
from slatewise.domain.slate import RUNGS, Rung, Slate
from slatewise.telemetry.clock import SystemClock
from slatewise.telemetry.metrics import Metrics

DECLARED = {
    "slatewise_queue_depth": "gauge",
    "slatewise_concurrency_limit": "gauge",
    "slatewise_queue_seconds": "histogram",
    "slatewise_rejected_total": "counter",
    "slatewise_connections_ended_total": "counter",
    "slatewise_requests_total": "counter",
    "slatewise_request_seconds": "histogram",
    "slatewise_stage_seconds": "histogram",
    "slatewise_slates_served_total": "counter",
    "slatewise_cache_hits_total": "counter",
    "slatewise_cache_misses_total": "counter",
    "slatewise_cache_bytes": "gauge",
    "slatewise_cache_entries": "gauge",
    "slatewise_cache_evictions_total": "counter",
    "slatewise_cache_waits_total": "counter",
    "slatewise_cache_shared_total": "counter",
    "slatewise_pages_total": "counter",
    "slatewise_degraded_total": "counter",
    "slatewise_rungs_total": "counter",
    "slatewise_events_accepted_total": "counter",
    "slatewise_events_duplicate_total": "counter",
    "slatewise_freshness_seconds": "histogram",
    "slatewise_log_version": "gauge",
    "slatewise_log_writable": "gauge",
    "slatewise_live_bundle_info": "gauge",
    "slatewise_workers": "gauge",
    "slatewise_impressions_total": "counter",
    "slatewise_impressions_dropped_total": "counter",
    "slatewise_index_audits_total": "counter",
    "slatewise_index_recall": "gauge",
}


def slate(cached: bool = False, degraded: tuple[str, ...] = (), rung: Rung = "full", page: int = 0) -> Slate:
    shown = Candidates.of("two_tower", np.arange(2), np.ones(2, np.float32))
    return Slate(
        request_id="r",
        bundle="b",
        version=3,
        shown=shown,
        reserve=Candidates.empty("two_tower"),
        dropped=(),
        retrieved=shown,
        cached=cached,
        degraded=degraded,
        rung=rung,
        page=page,
        timing_ms={"retrieval": 2.0, "ranking": 8.0},
    )


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_exposition_declares_every_metric_with_its_type(metrics):
    text = metrics.exposition().decode()
    found = dict(line.split()[2:] for line in text.splitlines() if line.startswith("# TYPE"))
    assert {name: kind for name, kind in found.items() if not name.endswith("_created")} == DECLARED


def test_served_slate_counts_its_stages_in_seconds(metrics):
    metrics.served(Query(request_id="r", at=0.0), slate())
    assert value(metrics, "slatewise_stage_seconds_sum", stage="ranking") == pytest.approx(0.008)
    assert value(metrics, "slatewise_stage_seconds_count", stage="retrieval") == 1
    assert value(metrics, "slatewise_slates_served_total", cached="false") == 1
    assert value(metrics, "slatewise_cache_misses_total") == 1
    assert value(metrics, "slatewise_cache_hits_total") == 0


def test_slate_from_the_cache_is_a_hit(metrics):
    metrics.served(Query(request_id="r", at=0.0), slate(cached=True))
    assert value(metrics, "slatewise_slates_served_total", cached="true") == 1
    assert value(metrics, "slatewise_cache_hits_total") == 1


def test_degraded_component_is_counted_once_per_slate_without_its_reason(metrics):
    metrics.served(Query(request_id="r", at=0.0), slate(degraded=("ranking/deep: late", "ranking/deep: broken: x")))
    assert value(metrics, "slatewise_degraded_total", component="ranking/deep", reason="other") == 1
    assert "broken" not in metrics.exposition().decode()


def test_a_component_without_time_is_told_from_one_that_failed(metrics):
    told = ("retrieval/trending: deadline", "ranking: small ranker, little time left", "user/tower: ValueError")
    metrics.served(Query(request_id="r", at=0.0), slate(degraded=told, rung="small"))
    reasons = {"retrieval/trending": "deadline", "ranking": "deadline", "user/tower": "other"}
    for component, reason in reasons.items():
        assert value(metrics, "slatewise_degraded_total", component=component, reason=reason) == 1


def test_slates_are_counted_by_rung_and_every_rung_is_there_from_the_start(metrics):
    assert [value(metrics, "slatewise_rungs_total", rung=rung) for rung in RUNGS] == [0] * len(RUNGS)
    metrics.served(Query(request_id="r", at=0.0), slate(rung="popular"))
    assert value(metrics, "slatewise_rungs_total", rung="popular") == 1


def test_a_slate_kept_for_want_of_a_better_one_is_no_hit_and_a_page_is_neither(metrics):
    metrics.served(Query(request_id="r", at=0.0), slate(cached=True, rung="cached"))
    metrics.served(Query(request_id="r", at=0.0), slate(cached=True, page=1))
    assert value(metrics, "slatewise_cache_hits_total") == 0
    assert value(metrics, "slatewise_cache_misses_total") == 1
    assert value(metrics, "slatewise_pages_total") == 1


def test_what_the_cache_does_is_counted(metrics):
    metrics.cache.holds(1_500, 1)
    metrics.cache.evicted(3)
    metrics.cache.waited(True)
    metrics.cache.waited(False)
    metrics.cache.shared("error")
    assert value(metrics, "slatewise_cache_bytes") == 1_500
    assert value(metrics, "slatewise_cache_entries") == 1
    assert value(metrics, "slatewise_cache_evictions_total") == 3
    assert value(metrics, "slatewise_cache_waits_total", served="false") == 1
    assert value(metrics, "slatewise_cache_shared_total", outcome="error") == 1
    assert value(metrics, "slatewise_cache_shared_total", outcome="hit") == 0


def test_events_and_their_freshness_are_counted(metrics):
    metrics.recorded(Receipt(accepted=3, duplicates=2, version=9))
    metrics.visible(0.004)
    metrics.visible(-1.0)
    assert value(metrics, "slatewise_events_accepted_total") == 3
    assert value(metrics, "slatewise_events_duplicate_total") == 2
    assert value(metrics, "slatewise_freshness_seconds_count") == 2
    assert value(metrics, "slatewise_freshness_seconds_sum") == pytest.approx(0.004)


def test_only_one_bundle_is_live(metrics):
    metrics.state(5, "b1")
    metrics.state(6, "b2")
    assert value(metrics, "slatewise_live_bundle_info", bundle="b1") is None
    assert value(metrics, "slatewise_live_bundle_info", bundle="b2") == 1
    metrics.state(7, None)
    assert value(metrics, "slatewise_live_bundle_info", bundle="b2") is None
    assert value(metrics, "slatewise_log_version") == 7


def test_two_registries_do_not_mix(metrics):
    other = Metrics()
    other.recorded(Receipt(1, 0, 1))
    assert value(metrics, "slatewise_events_accepted_total") == 0


def test_system_clock_tells_the_time_and_never_goes_back():
    clock = SystemClock()
    assert clock.now() > 1.7e9
    marks = [clock.elapsed_ms() for _ in range(100)]
    assert marks == sorted(marks)

"""Times handed on in batches: none is lost or told twice, whoever reads in between."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from slatewise.telemetry.batched import SIZE, Batched


@pytest.fixture
def told():
    """The registry, and what is told."""
    registry = CollectorRegistry()
    batched = Batched(registry)
    counter = Counter("answers", "Answers", registry=registry)
    times = Histogram("took_seconds", "Time", buckets=(0.1, 1.0), registry=registry)
    return registry, batched.kind([counter], [times])


def lines(registry):
    return generate_latest(registry).decode().splitlines()


def test_whoever_reads_sees_all_of_it_each_in_its_bucket(told):
    registry, tell = told
    for seconds in (0.05, 0.5, 0.5, 5.0):
        tell(seconds)
    found = lines(registry)
    for line in (
        "answers_total 4.0",
        'took_seconds_bucket{le="0.1"} 1.0',
        'took_seconds_bucket{le="1.0"} 3.0',
        'took_seconds_bucket{le="+Inf"} 4.0',
        "took_seconds_sum 6.05",
    ):
        assert line in found
    assert lines(registry) == found, "and once"


def test_so_many_are_held_back_and_no_more(told):
    registry, tell = told
    for _ in range(SIZE):
        tell(0.5)
    assert registry.get_sample_value("answers_total") == SIZE


def test_tellers_and_readers_at_once_lose_nothing(told):
    registry, tell = told
    with ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            threads.submit(lambda: [tell(0.5) for _ in range(3000)])
        threads.submit(lambda: [lines(registry) for _ in range(50)])
    assert "answers_total 9000.0" in lines(registry)
    assert "took_seconds_count 9000.0" in lines(registry)

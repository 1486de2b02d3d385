"""When requests are due: fixed beforehand, with the rate and the spread that were asked for."""

import numpy as np
import pytest

from slatewise.domain.errors import InputError
from slatewise.load.known import Known
from slatewise.load.plan import KINDS, Plan
from slatewise.load.schedule import due_times, kinds, zipf
from slatewise.load.target import target
from slatewise.load.traffic import Traffic


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def a_plan(**changes: object) -> Plan:
    return Plan(**{"url": "http://h", "rate": 10.0, "duration_s": 1.0, "name": "n", **changes})  # type: ignore[arg-type]


def test_constant_arrivals_are_evenly_spaced_and_as_many_as_asked_for() -> None:
    due = due_times("constant", 100.0, 3.0, rng())
    assert len(due) == 300
    assert due[0] == 0.0
    np.testing.assert_allclose(np.diff(due), 0.01)
    assert len(due_times("constant", 0.5, 3.0, rng())) == 2


def test_poisson_arrivals_have_the_rate_and_gaps_without_memory() -> None:
    due = due_times("poisson", 1000.0, 100.0, rng())
    assert abs(len(due) - 100_000) < 5 * np.sqrt(100_000)
    assert (np.diff(due) >= 0).all()
    assert due[0] >= 0
    assert due[-1] < 100.0
    gaps = np.diff(due)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.02)
    assert (gaps > 3 * gaps.mean()).mean() == pytest.approx(np.exp(-3), abs=0.003)


def test_the_seed_decides_the_arrivals_and_nothing_else_does() -> None:
    first, again, other = (due_times("poisson", 50.0, 10.0, rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[:50], other[:50])


def test_kinds_come_in_the_shares_of_the_mix() -> None:
    drawn = kinds(a_plan(mix={"fresh": 0.3, "event": 0.6, "item": 0.1}), 50_000, rng())
    shares = np.bincount(drawn, minlength=len(KINDS)) / len(drawn)
    np.testing.assert_allclose(shares, [0.3, 0.0, 0.6, 0.1], atol=0.01)


def test_the_first_of_the_pool_are_asked_for_most_and_without_exponent_all_alike() -> None:
    counts = np.bincount(zipf(100, 100_000, 1.0, rng()), minlength=100)
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.15)
    even = np.bincount(zipf(100, 100_000, 0.0, rng()), minlength=100)
    assert even.min() > 0.8 * even.mean()


def test_a_seed_repeats_the_bytes_of_every_request() -> None:
    plan, drawn = a_plan(), [0, 1, 2] * 50
    made = [
        [Traffic(plan, Known(("a", "b")), target(plan.url), drawn, rng(seed)).request(n) for n in range(150)]
        for seed in (3, 3, 4)
    ]
    assert made[0] == made[1] != made[2]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rate": 0.0}, "rate: got 0.0, expected a finite number above 0"),
        ({"duration_s": float("inf")}, "duration_s"),
        ({"arrivals": "bursty"}, "poisson, constant"),
        ({"mix": {"fresh": 0.5}}, "these make 0.5"),
        ({"mix": {"fresch": 1.0}}, "fresh, returning, event, item"),
        ({"mix": {"fresh": 1.5, "event": -0.5}}, "mix.fresh"),
        ({"connections": 8, "max_connections": 4}, r"at least connections \(8\)"),
        ({"name": "two words"}, "name"),
        ({"size": 0}, "size"),
        ({"deadline_ms": -1.0}, "deadline_ms"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_by_its_field(changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        a_plan(**changes)


def test_a_key_that_would_break_out_of_its_header_is_refused_and_never_shown() -> None:
    with pytest.raises(InputError, match="api_key") as refused:
        a_plan(api_key="secret\r\nx: y")
    assert "secret" not in str(refused.value)
    assert "secret" not in repr(a_plan(api_key="secret"))


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://h", "http://", "http://h:x", "http://u:p@h", "http://h/a b"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="http://127"):
        target(url)


def test_an_address_may_have_a_path_and_tells_host_and_port() -> None:
    found = target("https://example.org/shop/", "key")
    assert (found.host, found.port, found.is_tls) == ("example.org", 443, True)
    head = found.head("POST", "/v1/events")
    assert head.startswith(b"POST /shop/v1/events HTTP/1.1\r\nhost: example.org\r\n")
    assert b"authorization: Bearer key\r\n" in head
    assert target("http://[::1]:81").host == "::1"

"""The one thing a load tool must not do: wait for the server it measures."""

import http.client
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from slatewise.load import open_loop
from slatewise.load.known import Known
from slatewise.load.outcome import UNSENT
from slatewise.load.plan import KINDS, Plan
from slatewise.load.run import measure

from .conftest import SLATE, Asked, Tiny, answer

STALL_S = 0.3
SLOW_S = 0.05


def stalling(after: int) -> Callable[[Asked], bytes]:
    """Return answers of a server that, once, does nothing at all for a while."""

    def reply(asked: Asked) -> bytes:
        if asked.number == after:
            time.sleep(STALL_S)
        return answer(SLATE)

    return reply


def closed_loop(tiny: Tiny, seconds: float) -> list[float]:
    """Return latencies as a generator sees them that asks again once it was answered."""
    connection = http.client.HTTPConnection("127.0.0.1", tiny.port)
    latencies, until = [], time.monotonic() + seconds
    while (begun := time.monotonic()) < until:
        connection.request("POST", "/v1/recommendations", b"{}")
        connection.getresponse().read()
        latencies.append(time.monotonic() - begun)
        time.sleep(0.005)
    connection.close()
    return latencies


def test_every_request_due_during_a_stall_shows_it_where_a_closed_loop_shows_one(
    tiny: Tiny, plan: Callable[..., Plan]
) -> None:
    tiny.reply = stalling(after=30)
    samples = measure(plan(rate=200.0, duration_s=0.6, arrivals="constant", max_connections=16), Known()).samples
    assert samples.is_ok.all()
    slow = samples.latency_s > SLOW_S
    assert slow.sum() >= 0.8 * 200 * (STALL_S - SLOW_S), "requests due during the stall are missing or look fast"
    first = int(np.argmax(samples.latency_s))
    assert samples.latency_s[first] > STALL_S - 0.03
    during = (samples.scheduled_s > samples.scheduled_s[first]) & (
        samples.scheduled_s < samples.scheduled_s[first] + STALL_S - SLOW_S
    )
    assert during.sum() >= 40
    # All of them end when the stall does, so each waited for what was left of it.
    end = samples.scheduled_s[first] + samples.latency_s[first]
    assert (samples.scheduled_s[during] + samples.latency_s[during] > end - 0.04).all()

    tiny.reply = stalling(after=len(tiny.asked) + 30)
    assert sum(latency > SLOW_S for latency in closed_loop(tiny, 0.6)) <= 5


def test_requests_leave_while_earlier_ones_are_unanswered(tiny: Tiny, plan: Callable[..., Plan]) -> None:
    tiny.reply = lambda asked: b""
    result = measure(plan(rate=100.0, duration_s=0.4, timeout_s=0.2, arrivals="constant"), Known())
    assert len(tiny.asked) == 40
    assert result.connections >= 20
    assert result.figures().errors == {"timed out": 40}
    latency = result.figures().latency_ms
    assert 200 <= latency["p50"] <= latency["max"] < 450, "what timed out took at least so long"


def test_beyond_the_bound_requests_wait_their_latency_grows_and_the_result_says_so(
    tiny: Tiny, plan: Callable[..., Plan]
) -> None:
    def slow(asked: Asked) -> bytes:
        time.sleep(0.01)
        return answer(SLATE)

    tiny.reply = slow
    result = measure(plan(rate=200.0, duration_s=0.3, connections=2, max_connections=2), Known())
    assert result.connections == tiny.connections == 2
    assert result.connection_limited
    assert result.waited > 0.5
    assert result.figures().ok == result.figures().sent
    late = result.samples.latency_s[-10:]
    assert (late > 0.15).all(), "100 answers per second to 200 requests: half of the time is spent waiting"


def test_the_generator_says_so_when_it_is_the_limit_itself(
    tiny: Tiny, plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_loop, "GRACE_S", 0.1)
    result = measure(plan(rate=2_000_000.0, duration_s=0.1, timeout_s=0.2, max_connections=8), Known())
    assert result.generator_limited
    assert "ms late at the 99th percentile" in str(result.why)
    assert "were never sent" in str(result.why)
    assert result.to_json()["generator_limited"] is True
    unsent = result.samples.status == UNSENT
    assert (result.samples.lag_s[unsent] > 0).all(), "what never left is late by at least the rest of the run"
    assert result.figures().errors["never sent"] == len(result.samples.status) - result.figures().sent


def test_the_warm_up_is_sent_and_not_counted(tiny: Tiny, plan: Callable[..., Plan]) -> None:
    result = measure(plan(rate=100.0, warmup_s=0.2, duration_s=0.3, arrivals="constant"), Known())
    assert len(tiny.asked) == 50
    assert result.figures().sent == 30
    assert result.samples.scheduled_s[0] == pytest.approx(0.0, abs=1e-9)
    assert result.figures().per_s == pytest.approx(100.0, rel=0.2)


def test_the_mix_arrives_as_asked_for_with_ids_of_the_run(tiny: Tiny, plan: Callable[..., Plan]) -> None:
    def reply(asked: Asked) -> bytes:
        return answer(SLATE if "recommend" in asked.path else {"accepted": 1})

    tiny.reply = reply
    known = Known(items=("a", 'b"c'), changes=(b'{"items":[{"item_id":"a"}]}',))
    mix = {"fresh": 0.3, "returning": 0.3, "event": 0.3, "item": 0.1}
    sent = plan(name="run7", duration_s=0.3, rate=1500.0, mix=mix, users=20, size=7, deadline_ms=25.5, api_key="k1")
    result = measure(sent, known)
    assert result.figures().ok == len(tiny.asked)
    for kind, share in mix.items():
        assert result.figures(kind).sent / len(tiny.asked) == pytest.approx(share, abs=0.1)
    assert sum(result.figures(kind).sent for kind in KINDS) == result.figures().sent
    slates = [a.body for a in tiny.asked if a.path == "/v1/recommendations"]
    assert all((body["size"], body["deadline_ms"]) == (7, 25.5) for body in slates)
    fresh = [body["user_id"] for body in slates if body["user_id"].startswith("run7-f")]
    assert len(fresh) == len(set(fresh)) == result.figures("fresh").sent
    pool = {f"run7-u{n}" for n in range(20)}
    assert {body["user_id"] for body in slates} - set(fresh) <= pool
    events: list[Any] = [event for a in tiny.asked if a.path == "/v1/events" for event in a.body["events"]]
    assert {event["item_id"] for event in events} == {"a", 'b"c'}
    assert {event["user_id"] for event in events} <= pool
    ids = [event["event_id"] for event in events]
    assert len(ids) == len(set(ids)) > 0
    assert all(each.startswith("run7-") for each in ids)
    assert {a.body["items"][0]["item_id"] for a in tiny.asked if a.method == "PUT"} == {"a"}
    assert {a.headers["authorization"] for a in tiny.asked} == {"bearer k1"}

"""Identical questions that come at once are computed once, with real threads."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from slatewise.domain.settings import ServingSettings, Settings
from slatewise.ports.cache import NobodyWatches
from slatewise.serving.flights import Flights
from slatewise.telemetry.clock import SystemClock
from slatewise.testing.small_shop import SmallShop
from slatewise.testing.stages import ListSource


class Watch(NobodyWatches):
    def __init__(self):
        self.waits = []

    def waited(self, was_served):
        self.waits.append(was_served)


class Gate:
    """A place that the first caller is held at until it is opened; counts who came."""

    def __init__(self):
        self.came = 0
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self):
        self.came += 1
        self.reached.set()
        if self.came == 1:
            assert self.opened.wait(20)


@pytest.fixture
def shop():
    # Time enough on a busy machine: what is asked here is who computes, not how fast.
    shop = SmallShop(settings=Settings(serving=ServingSettings(deadline_ms=20_000.0)))
    shop.record("ann", "i3")
    return shop


def rows(slate):
    return slate.shown.row.tolist()


def asked_at_once(recommender, gate, query, others):
    """Ask from one thread, hold it inside retrieval, and ask the same from *others* more before letting it go."""
    with ThreadPoolExecutor(others + 1) as threads:
        first = threads.submit(recommender.recommend, query)
        assert gate.reached.wait(20)
        rest = [threads.submit(recommender.recommend, query) for _ in range(others)]
        threading.Event().wait(0.1)
        gate.opened.set()
        return first.result(), [one.result() for one in rest]


def test_one_computes_and_the_others_are_served_from_it(build_cached, shop, ask):
    gate, watch = Gate(), Watch()
    source = ListSource("a", range(40), before=gate)
    recommender = build_cached(shop, clock=SystemClock(), rest={"watch": watch}, sources=[source])
    first, others = asked_at_once(recommender, gate, ask("ann"), 6)
    assert gate.came == 1
    assert not first.cached
    assert all(slate.cached for slate in others)
    assert all(rows(slate) == rows(first) for slate in others)
    assert watch.waits == [True] * 6


def test_a_question_of_somebody_else_does_not_wait(build_cached, shop, ask):
    gate = Gate()
    recommender = build_cached(shop, clock=SystemClock(), sources=[ListSource("a", range(40), before=gate)])
    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(recommender.recommend, ask("ann"))
        assert gate.reached.wait(20)
        assert not recommender.recommend(ask("bob")).cached
        assert not held.done()
        gate.opened.set()
        held.result()


def test_who_asks_after_an_event_does_not_get_what_is_computed_without_it(build_cached, shop, ask):
    gate = Gate()
    recommender = build_cached(shop, clock=SystemClock(), sources=[ListSource("a", range(40), before=gate)])
    with ThreadPoolExecutor(1) as threads:
        old = threads.submit(recommender.recommend, ask("ann"))
        assert gate.reached.wait(20)
        shop.record("ann", "i0")
        new = recommender.recommend(ask("ann"))
        gate.opened.set()
        old.result()
    assert not new.cached
    assert 0 not in rows(new)
    assert 0 not in rows(recommender.recommend(ask("ann")))


def test_a_computation_that_fails_or_is_degraded_is_not_shared(build_cached, shop, ask):
    gate, watch = Gate(), Watch()
    sources = [ListSource("broken", [], error=RuntimeError()), ListSource("a", range(40), before=gate)]
    recommender = build_cached(shop, clock=SystemClock(), rest={"watch": watch}, sources=sources)
    first, others = asked_at_once(recommender, gate, ask("ann"), 3)
    assert not any(slate.cached for slate in [first, *others])
    assert all(rows(slate) == rows(first) for slate in others)
    assert watch.waits == [False] * 3


def test_who_waits_does_so_no_longer_than_the_deadline(build_cached, shop, ask):
    gate = Gate()
    recommender = build_cached(shop, clock=SystemClock(), sources=[ListSource("a", range(40), before=gate)])
    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(recommender.recommend, ask("ann"))
        assert gate.reached.wait(20)
        late = recommender.recommend(ask("ann", deadline_ms=30))
        assert not slow.done()
        gate.opened.set()
        slow.result()
    assert late.timing_ms["total"] < 5_000
    assert (late.rung, len(late.shown)) == ("popular", 5)
    assert 3 not in rows(late)


def test_a_flight_lands_when_its_leader_raises_and_the_next_one_may_depart():
    flights = Flights()

    def crash():
        with flights.boarded("q") as (flight, leads):
            boarded.append((flight, leads))
            raise KeyError("q")

    boarded = []
    with pytest.raises(KeyError):
        crash()
    ((flight, led),) = boarded
    assert led
    assert flight.wait(0) is None
    with flights.boarded("q") as (again, leads):
        assert leads
        with flights.boarded("q") as (same, leads_too):
            assert (same is again, leads_too) == (True, False)
        with flights.boarded("other") as (_, leads_other):
            assert leads_other
    assert not flights._flights

import pytest

from slatewise.serving.breaker import FAILURES, FIRST_PAUSE_MS, LONGEST_PAUSE_MS, Breaker
from slatewise.serving.costs import TRIED_EVERY, Costs
from slatewise.testing.small_shop import FakeClock


def settled(ms, component="a"):
    costs = Costs()
    for _ in range(40):
        costs.measured(component, ms)
    return costs


def test_what_was_never_measured_may_use_all_the_time_there_is():
    assert Costs().allow("a", 0.1)
    assert not Costs().allow("a", 0.0)
    assert not Costs().allow("a", -5.0)


def test_a_component_that_does_not_fit_beside_what_is_still_to_come_is_refused():
    costs = settled(10.0)
    assert costs.of("a") == pytest.approx(10.0, rel=1e-3)
    assert costs.allow("a", 15.0, later_ms=4.0)
    assert not costs.allow("a", 13.0, later_ms=4.0)


def test_a_stall_is_not_taken_for_the_components_pace():
    costs = settled(1.0)
    costs.measured("a", 5_000.0)
    assert costs.of("a") < 5.0


def test_a_cold_first_run_is_not_taken_for_the_components_pace():
    costs = Costs()
    costs.measured("a", 900.0)
    assert costs.allow("a", 20.0)


def test_a_component_that_became_slow_is_refused_within_a_dozen_requests():
    costs = settled(1.0)
    runs = 0
    while costs.allow("a", 200.0):
        costs.measured("a", 300.0)
        runs += 1
        assert runs <= 12


def test_a_refused_component_is_tried_now_and_then_and_comes_back_once_it_is_fast():
    costs = settled(300.0)
    verdicts = [costs.allow("a", 200.0) for _ in range(TRIED_EVERY)]
    assert verdicts == [False] * (TRIED_EVERY - 1) + [True]
    costs.measured("a", 1.0)
    assert costs.allow("a", 200.0)


def test_what_later_stages_are_thought_to_take_never_keeps_everything_from_reaching_them():
    costs = settled(1.0)
    assert costs.allow("a", 10.0, later_ms=10_000.0)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def open_breaker(clock):
    breaker = Breaker(clock)
    for _ in range(FAILURES):
        assert breaker.may_try()
        breaker.failed()
    return breaker


def test_a_success_between_failures_keeps_the_breaker_closed(clock):
    breaker = Breaker(clock)
    for _ in range(10):
        for _ in range(FAILURES - 1):
            breaker.failed()
        breaker.succeeded()
    assert breaker.may_try()


def test_after_failures_in_a_row_nobody_asks_until_the_pause_is_over_and_then_one(clock, open_breaker):
    assert not open_breaker.may_try()
    clock.ms += FIRST_PAUSE_MS - 1
    assert not open_breaker.may_try()
    clock.ms += 1
    assert [open_breaker.may_try() for _ in range(5)] == [True, False, False, False, False]
    open_breaker.succeeded()
    assert all(open_breaker.may_try() for _ in range(5))


def test_every_trial_in_vain_doubles_the_pause_up_to_a_limit(clock, open_breaker):
    pause = FIRST_PAUSE_MS
    for _ in range(8):
        clock.ms += pause
        assert open_breaker.may_try()
        open_breaker.failed()
        pause = min(2 * pause, LONGEST_PAUSE_MS)
        clock.ms += pause - 1
        assert not open_breaker.may_try()
        clock.ms += 1 - pause
    assert pause == LONGEST_PAUSE_MS

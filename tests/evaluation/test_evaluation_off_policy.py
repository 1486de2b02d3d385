"""Inverse propensities find the truth of a simulated shop; the plain mean does not."""

from dataclasses import dataclass

import numpy as np
import pytest

from slatewise.domain.events import Impression
from slatewise.evaluation.off_policy import POLICIES, LoggedPlaces, click_rates

SIZE = 3


@dataclass(frozen=True)
class Kind:
    """One kind of visit: how often it comes, how often it is explored, from how many, and who clicks the last place."""

    share: float
    exploration: float
    eligible: int
    ordinary: float
    new: float


# Exploring is likeliest where nobody clicks anyway; a third kind has nothing to explore.
KINDS = (Kind(0.45, 0.6, 4, 0.05, 0.02), Kind(0.45, 0.1, 2, 0.50, 0.25), Kind(0.1, 0.0, 0, 0.30, 0.30))
TRUTH = {
    "always": sum(kind.share * kind.new for kind in KINDS),
    "never": sum(kind.share * kind.ordinary for kind in KINDS),
}


def simulated(visits, rng):
    impressions, clicks = [], {}
    for visit, kind in enumerate(rng.choice(len(KINDS), visits, p=[kind.share for kind in KINDS])):
        of = KINDS[kind]
        drawn = rng.random() < of.exploration
        last, item, chance = 1.0, "ordinary", of.ordinary
        if drawn:
            last, item, chance = of.exploration / of.eligible, f"new-{rng.integers(of.eligible)}", of.new
        elif of.eligible:
            last = 1.0 - of.exploration
        impressions.append(
            Impression(
                at=float(visit),
                user_id=f"u{visit}",
                request_id=f"r{visit}",
                shown=("a", "b", item),
                propensity=(1.0, 1.0, float(np.float32(last))),
                explored_from=of.eligible if drawn else 0,
            )
        )
        clicks[f"r{visit}"] = {i for i, p in (("a", 0.6), ("b", 0.4), (item, chance)) if rng.random() < p}
    return impressions, clicks


@pytest.fixture(scope="module")
def logged():
    return LoggedPlaces.of(*simulated(40_000, np.random.default_rng(1)))


@pytest.mark.parametrize("policy", POLICIES)
def test_both_estimates_hold_the_truth_in_their_interval_and_the_plain_mean_does_not(logged, policy):
    last = click_rates(logged, policy)[-1]
    for which in ("ips", "snips"):
        low, high = last.interval(which)
        assert low <= TRUTH[policy] <= high
        assert high - low < 0.05, "narrow enough to say something"
    assert last.unsupported == 0.0
    followed = np.count_nonzero(logged.weights(policy)[logged.place == last.place])
    error = np.sqrt(last.naive * (1 - last.naive) / followed)
    assert abs(last.naive - TRUTH[policy]) > 5 * error


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng, rounds = np.random.default_rng(2), 200
    held = {(policy, which): 0 for policy in POLICIES for which in ("ips", "snips")}
    for _ in range(rounds):
        once = LoggedPlaces.of(*simulated(600, rng))
        for policy in POLICIES:
            last = click_rates(once, policy)[-1]
            for which in ("ips", "snips"):
                low, high = last.interval(which)
                held[policy, which] += low <= TRUTH[policy] <= high
    assert all(0.90 <= count / rounds <= 0.99 for count in held.values()), held


def test_places_that_are_never_drawn_have_their_plain_rate_under_both(logged):
    for policy in POLICIES:
        first, second, _ = click_rates(logged, policy)
        for rate, truth in ((first, 0.6), (second, 0.4)):
            assert rate.ips == rate.snips == rate.naive == pytest.approx(truth, abs=0.01)
        assert (first.place, first.places) == (0, 40_000)


def test_weights_are_one_on_average(logged):
    at = logged.place == SIZE - 1
    for policy in POLICIES:
        assert logged.weights(policy)[at].mean() == pytest.approx(1.0, abs=0.03)


def shown(user, drawn_from, likely, request="r"):
    return Impression(
        at=0.0, user_id=user, request_id=request, shown=("x",), propensity=(likely,), explored_from=drawn_from
    )


def test_exploration_that_was_certain_says_nothing_of_never_and_the_estimate_says_so():
    always = LoggedPlaces.of([shown("u", 1, 1.0), shown("v", 4, 0.25), shown("w", 0, 1.0)], {"r": ["x"]})
    (never,), (ever,) = click_rates(always, "never"), click_rates(always, "always")
    assert (never.unsupported, ever.unsupported) == (pytest.approx(2 / 3), 0.0)
    assert ever.ips == ever.snips == 1.0


def test_what_nobody_logged_is_not_estimated():
    unknown = Impression(at=0.0, user_id="u", request_id="r", shown=("x", "y"))
    assert click_rates(LoggedPlaces.of([unknown], {}), "never") == []
    (only,) = click_rates(LoggedPlaces.of([shown("u", 2, 0.05), shown("v", 2, 0.05)], {}), "never")
    assert np.isnan([only.naive, only.ips, only.snips, only.ips_error, only.snips_error]).all()


def test_errors_count_users_not_places():
    rng = np.random.default_rng(3)
    impressions, clicks = simulated(500, rng)
    copied = [
        Impression(
            at=i.at,
            user_id=i.user_id,
            request_id=i.request_id,
            shown=i.shown,
            propensity=i.propensity,
            explored_from=i.explored_from,
        )
        for i in impressions
        for _ in range(4)
    ]
    once = click_rates(LoggedPlaces.of(impressions, clicks), "never")[-1]
    again = click_rates(LoggedPlaces.of(copied, clicks), "never")[-1]
    assert again.snips == pytest.approx(once.snips)
    assert again.snips_error == pytest.approx(once.snips_error)


def test_a_click_rate_that_never_varies_has_no_error_once_weights_are_normalised():
    impressions, _ = simulated(500, np.random.default_rng(4))
    everything = {i.request_id: set(i.shown) for i in impressions}
    last = click_rates(LoggedPlaces.of(impressions, everything), "always")[-1]
    assert last.snips == 1.0
    assert last.snips_error == pytest.approx(0.0, abs=1e-12)
    assert last.ips_error > 0.01

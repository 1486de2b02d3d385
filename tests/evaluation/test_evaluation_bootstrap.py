import numpy as np
import pytest

from slatewise.evaluation.bootstrap import paired_bootstrap, standard_error


def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def test_interval_covers_a_known_difference_as_often_as_it_says() -> None:
    world = np.random.default_rng(1)
    covered, trials = 0, 120
    for _ in range(trials):
        # Queries of one user share a shift, so an interval that took them for independent would be too narrow.
        user = np.repeat(np.arange(60), 5)
        shift = world.normal(0.0, 0.3, 60)[user]
        second = world.random(user.size)
        first = second + 0.1 + shift + world.normal(0.0, 0.1, user.size)
        interval = paired_bootstrap(first, second, user, world, samples=400)
        covered += interval.low <= 0.1 <= interval.high
    assert 0.88 <= covered / trials <= 0.99


def test_interval_is_about_the_mean_difference_and_tells_its_direction() -> None:
    user = np.arange(500)
    second = np.zeros(500)
    interval = paired_bootstrap(np.tile([0.0, 0.4], 250), second, user, rng())
    assert interval.difference == pytest.approx(0.2)
    assert interval.low < 0.2 < interval.high
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.2 / np.sqrt(500), rel=0.05)
    assert interval.is_clear
    assert not paired_bootstrap(np.tile([-0.4, 0.4], 250), second, user, rng()).is_clear


def test_bootstrap_draws_by_its_generator_alone_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    value, user = np.random.default_rng(0).random(90), np.repeat(np.arange(30), 3)
    whole = paired_bootstrap(value, value * 0, user, rng())
    assert paired_bootstrap(value, value * 0, user, rng()) == whole
    monkeypatch.setattr("slatewise.evaluation.bootstrap.CELLS", 30 * 77)
    assert paired_bootstrap(value, value * 0, user, rng()) == whole


def test_standard_error_with_one_query_per_user_is_the_textbook_one() -> None:
    value = np.random.default_rng(0).random(200)
    assert standard_error(value, np.arange(200)) == pytest.approx(value.std(ddof=1) / np.sqrt(200))


def test_standard_error_does_not_shrink_when_each_query_is_asked_four_times() -> None:
    value, user = np.random.default_rng(0).random(50), np.arange(50)
    assert standard_error(np.repeat(value, 4), np.repeat(user, 4)) == pytest.approx(standard_error(value, user))


def test_undefined_values_are_left_out_and_nothing_gives_nothing() -> None:
    value, user = np.array([0.2, np.nan, 0.4]), np.array([0, 1, 2])
    assert standard_error(value, user) == pytest.approx(standard_error(value[[0, 2]], user[[0, 2]]))
    assert paired_bootstrap(value, np.zeros(3), user, rng()).difference == pytest.approx(0.3)
    assert np.isnan(paired_bootstrap(np.zeros(0), np.zeros(0), np.zeros(0, np.int64), rng()).difference)
    assert np.isnan(standard_error(np.ones(3), np.zeros(3, np.int64)))

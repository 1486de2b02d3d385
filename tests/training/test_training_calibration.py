"""Probabilities that mean what they say."""

import numpy as np

from slatewise.training.calibration import calibration_error, platt


def _sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def test_a_planted_slope_and_offset_are_found_again():
    rng = np.random.default_rng(0)
    logit = rng.normal(size=200_000)
    label = rng.random(logit.size) < _sigmoid(0.4 * logit - 2.0)
    slope, offset = platt(logit, label)
    assert abs(slope - 0.4) < 0.03
    assert abs(offset + 2.0) < 0.03


def test_what_is_seldom_seen_is_not_taken_for_unwanted():
    rng = np.random.default_rng(3)
    logit = rng.normal(size=200_000)
    seen = rng.choice([1.0, 0.25, 0.05], logit.size)
    label = rng.random(logit.size) < seen * _sigmoid(0.7 * logit - 0.5)
    slope, offset = platt(logit, label, seen)
    assert abs(slope - 0.7) < 0.04
    assert abs(offset + 0.5) < 0.04
    blind = platt(logit, label)
    assert blind[1] < -1.0


def test_calibrated_probabilities_have_a_small_error_and_raw_ones_a_large_one():
    rng = np.random.default_rng(1)
    logit = rng.normal(size=50_000) * 3
    label = rng.random(logit.size) < _sigmoid(0.3 * logit - 1.0)
    slope, offset = platt(logit, label)
    assert calibration_error(_sigmoid(slope * logit + offset), label) < 0.01
    assert calibration_error(_sigmoid(logit), label) > 0.1


def test_a_head_that_orders_the_wrong_way_round_is_flattened_not_turned():
    rng = np.random.default_rng(2)
    logit = rng.normal(size=5_000)
    label = rng.random(logit.size) < _sigmoid(-logit)
    slope, _ = platt(logit, label)
    assert 0 < slope <= 1e-3


def test_labels_of_one_kind_give_finite_numbers():
    slope, offset = platt(np.linspace(-1, 1, 50), np.zeros(50))
    assert np.isfinite([slope, offset]).all()


def test_the_error_is_the_mean_gap_between_what_was_said_and_what_came():
    said = np.array([0.1] * 10 + [0.9] * 10)
    came = np.array([0] * 8 + [1] * 2 + [1] * 6 + [0] * 4)
    assert np.isclose(calibration_error(said, came, bins=2), (0.1 + 0.3) / 2)


def test_nothing_has_no_error():
    assert calibration_error(np.empty(0), np.empty(0)) == 0.0

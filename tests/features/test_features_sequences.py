import numpy as np
import pytest

from slatewise.domain.history import EMPTY_HISTORY, History
from slatewise.features.sequences import ages, as_sequence
from slatewise.ports.models import UNKNOWN_AGE

DIM = 4


def history(at: list[float]) -> History:
    return History(np.arange(len(at)), np.zeros(len(at), np.int64), np.array(at, np.float64))


def test_ages_count_back_from_the_newest_known_time() -> None:
    at = np.array([[10.0, 25.0, 30.0, np.nan], [np.nan, 7.0, np.nan, np.nan]])
    expected = [[20.0, 5.0, 0.0, UNKNOWN_AGE], [UNKNOWN_AGE, 0.0, UNKNOWN_AGE, UNKNOWN_AGE]]
    np.testing.assert_array_equal(ages(at), np.array(expected, np.float32))


@pytest.mark.parametrize("at", [np.full((2, 3), np.nan), np.zeros((1, 0))])
def test_without_any_time_every_age_is_unknown(at: np.ndarray) -> None:
    np.testing.assert_array_equal(ages(at), np.full(at.shape, UNKNOWN_AGE, np.float32))


def test_recent_ages_are_exact_to_the_second_whatever_the_century() -> None:
    newest = 4e9
    before = np.arange(200.0)[::-1] * 80_000.0 + 1.0
    assert ages(newest - before).tolist() == (before - 1.0).tolist()


def test_a_sequence_counts_ages_within_the_steps_that_it_keeps() -> None:
    long = history([1.7e9, 1.7e9 + 60, 1.7e9 + 90])
    read = as_sequence(long, 2, np.zeros((2, DIM), np.float32))
    assert read.age.dtype == np.float32
    assert read.age.tolist() == [[30.0, 0.0]]
    assert as_sequence(EMPTY_HISTORY, 2, np.zeros((0, DIM), np.float32)).age.shape == (1, 0)

import numpy as np
import pytest

from slatewise.domain.history import EMPTY_HISTORY, History
from slatewise.features.spaces import NAMES, Spaces

NOW = 1.7e9
INPUTS = np.array([[1, 0], [0, 2], [0, 0]], np.float32)
OUTPUTS = np.array([[1, 1], [0, 3], [2, 0]], np.float32)
TASTES = np.array([[1, 0, 0.5], [0, 1, -1], [0.6, 0.8, 0]], np.float32)
ALL = np.array([0, 1, 2])


def read(spaces: Spaces, history: History, rows: np.ndarray = ALL) -> dict[str, np.ndarray]:
    out = np.full((len(NAMES), rows.size), np.nan, np.float32)
    spaces.read(history, rows, NOW, out)
    return dict(zip(NAMES, out, strict=True))


def history(rows: list[int], ago: list[float]) -> History:
    return History(np.array(rows), np.zeros(len(rows), np.int64), NOW - np.array(ago))


def test_a_set_counts_each_item_once_and_knows_no_order() -> None:
    spaces = Spaces.of(INPUTS, OUTPUTS, None)
    once = read(spaces, history([0, 1], [9e5, 8e5]))["affinity_to_set"]
    np.testing.assert_array_equal(once, [3, 6, 2])
    np.testing.assert_array_equal(read(spaces, history([1, 0, 1, 1], [4e5, 3e5, 2e5, 1e5]))["affinity_to_set"], once)


def test_tastes_last_and_visits_pass() -> None:
    spaces = Spaces.of(INPUTS, OUTPUTS, TASTES)
    found = read(spaces, history([0, 0, 0, 1], [9e5, 8e5, 7e5, 60.0]))
    assert found["taste_lasting"][0] > 0.2
    np.testing.assert_allclose(found["taste_visit"], [0, 1, 0.8], rtol=1e-6)
    np.testing.assert_array_equal(found["appeal"], TASTES[:, 2])
    assert np.isnan(read(spaces, history([0], [9e5]))["taste_visit"]).all(), "no visit is going on"


def test_what_cannot_be_said_is_missing() -> None:
    nothing = read(Spaces.of(INPUTS, OUTPUTS, TASTES), EMPTY_HISTORY)
    assert np.isnan(nothing["affinity_to_set"]).all()
    assert np.isnan(nothing["taste_lasting"]).all()
    np.testing.assert_array_equal(nothing["appeal"], TASTES[:, 2])
    plain = read(Spaces.of(INPUTS, OUTPUTS, None), history([0], [1.0]))
    assert all(np.isnan(plain[name]).all() for name in ("taste_lasting", "taste_visit", "appeal"))


@pytest.mark.parametrize("seed", range(3))
def test_a_candidates_values_do_not_depend_on_the_others(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs, outputs, tastes = (rng.standard_normal((9, d)).astype(np.float32) for d in (64, 64, 65))
    spaces, past = Spaces.of(inputs, outputs, tastes), history([1, 2, 5], [9e5, 500, 50])
    whole = read(spaces, past, np.arange(9))
    for row in range(9):
        alone = read(spaces, past, np.array([row]))
        assert all(alone[name][0] == whole[name][row] for name in NAMES)

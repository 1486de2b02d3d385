from dataclasses import replace

import numpy as np
import pytest

from slatewise.domain.columns import Interactions
from slatewise.domain.history import History
from slatewise.domain.settings import Settings
from slatewise.features.sequences import GAP_BUCKETS, as_sequence
from slatewise.models.spectral import fit_spectral
from slatewise.ports.models import UNKNOWN_AGE
from slatewise.training.learn import material_of
from slatewise.training.material import Histories, TrainingInput
from slatewise.training.windows import batches, pad_histories

DIM = 16


def histories(lengths: list[int], seed: int = 0) -> Histories:
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(len(lengths)), lengths)
    n = user.size
    at = 1.7e9 + np.sort(rng.uniform(0, 1e6, n)).round()
    rows = np.arange(n)
    return Histories.of(Interactions(rows, user, rows, np.zeros(n, np.int64), at, np.ones(n, np.float32)))


def served(history: History, limit: int) -> np.ndarray:
    return as_sequence(history, limit, np.zeros((min(limit, len(history)), DIM), np.float32)).age[0]


def test_padded_histories_have_the_ages_that_serving_gives() -> None:
    kept = list(histories([3, 9, 1]))
    padded = pad_histories(kept, 5)
    for age, history in zip(padded.age, kept, strict=True):
        expected = served(history, 5)
        np.testing.assert_array_equal(age[: expected.size], expected)
        assert (age[expected.size :] == UNKNOWN_AGE).all()


def test_a_window_holds_the_times_between_steps_that_serving_gives() -> None:
    every = histories([4, 7, 6])
    compared = 0
    for batch in batches(every, frozenset({0}), 10, 4, True, np.random.default_rng(0)):
        for user, row, age in zip(batch.user, batch.row, batch.age, strict=True):
            steps = int((row >= 0).sum())
            expected = served(every.history(int(user)), 10)
            # Serving has not seen the last step of a window yet: it is what the others predict.
            np.testing.assert_array_equal(age[: steps - 1] - age[steps - 2], expected[:-1] - expected[-2])
            assert (age[steps:] == UNKNOWN_AGE).all()
            compared += 1
    assert compared == 3


@pytest.mark.parametrize(("times", "timed"), [("instants", True), ("positions", False), ("none", False)])
def test_towers_attend_by_time_only_where_times_are_instants(
    given: TrainingInput, settings: Settings, times: str, timed: bool
) -> None:
    pytest.importorskip("torch", reason="training needs the extra slatewise[train]")
    from slatewise.training.tower_training import new_towers

    known = given.interactions
    at = {"instants": known.at, "positions": np.arange(len(known), dtype=np.float64), "none": known.at * np.nan}[times]
    material, _ = material_of(given, replace(known, at=at), settings, "none")
    factors = fit_spectral(known.user, known.item, material.n_items, DIM, np.random.default_rng(0))
    towers = new_towers(material, factors, settings.training)
    assert (towers.user.time_bias is not None) == timed


def test_a_time_bias_is_looked_up_by_the_log_of_the_time_between_two_steps() -> None:
    torch = pytest.importorskip("torch", reason="training needs the extra slatewise[train]")
    from slatewise.training.blocks import TimeBias

    bias = TimeBias(heads=2)
    bucket = torch.arange(GAP_BUCKETS, dtype=torch.float32)
    bias.table.data = torch.stack([bucket, -bucket])
    found = bias(torch.tensor([[2.0**40, 8191.0, 6.0, 0.0, UNKNOWN_AGE]])).detach()
    assert found.shape == (1, 2, 5, 5)
    assert found[0, 0, 3].tolist() == [GAP_BUCKETS - 1, 14, 3, 1, 0]
    assert found[0, 0, 2].tolist() == [GAP_BUCKETS - 1, 13, 1, 1, 0]
    assert not found[0, 0, 4].any()
    assert torch.equal(found[:, 1], -found[:, 0])

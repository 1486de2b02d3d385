"""Click prediction: what a sum over fields cannot say is learned, and the probabilities mean what they say."""

import numpy as np
import pytest
import torch

from slatewise.datasets.ctr import UNKNOWN, Examples
from slatewise.domain.errors import TrainingError
from slatewise.evaluation.metrics.auc import auc
from slatewise.training.calibration import calibration_error
from slatewise.training.ctr_module import CtrModule
from slatewise.training.fit_ctr import Calibration, CtrFit, CtrRecipe, calibrate, fit_ctr, log_loss

SIZES = (13, 13, 5)
RECIPE = CtrRecipe(width=32, dim=8, batch=256, passes=8, dropout=0.1, average=0.98, l2=1e-3)


def planted(rows: int, seed: int, sure: float = 0.95) -> Examples:
    """Return rows whose label is the exclusive or of two fields' halves, told with a little noise; one field is noise.

    Neither field alone says anything, so whatever adds up one weight per value scores .5.
    """
    rng = np.random.default_rng(seed)
    value = np.stack([rng.integers(1, size, rows) for size in SIZES], 1)
    likely = np.where((value[:, 0] > 6) ^ (value[:, 1] > 6), sure, 1 - sure)
    return Examples(value, (rng.random(rows) < likely).astype(np.float32))


@pytest.fixture(scope="module")
def fitted() -> CtrFit:
    return fit_ctr(planted(6000, 0), planted(2000, 1), SIZES, RECIPE)


def one_weight_per_value(train: Examples, judged: Examples) -> np.ndarray:
    score = np.zeros(len(judged))
    for field, size in enumerate(SIZES):
        rate = np.bincount(train.value[:, field], train.label, size) / np.maximum(
            np.bincount(train.value[:, field], minlength=size), 1
        )
        score += rate[judged.value[:, field]]
    return score


def test_a_planted_interaction_is_learned_that_a_sum_over_fields_cannot_say(fitted: CtrFit) -> None:
    unseen = planted(4000, 2)
    assert auc(one_weight_per_value(planted(6000, 0), unseen), unseen.label) < 0.6
    assert auc(fitted.logits(unseen.value), unseen.label) > 0.9


def test_its_probabilities_are_calibrated_on_rows_it_never_saw(fitted: CtrFit) -> None:
    unseen = planted(8000, 3)
    assert calibration_error(fitted.probabilities(unseen.value), unseen.label) < 0.03
    assert log_loss(fitted.calibration.logits(fitted.logits(unseen.value)), unseen.label) < 0.25


def test_the_best_pass_is_kept_with_its_calibration(fitted: CtrFit) -> None:
    losses = [entry["valid_logloss"] for entry in fitted.curve]
    assert fitted.best_pass == 1 + int(np.argmin(losses))
    valid = planted(2000, 1)
    kept = log_loss(fitted.calibration.logits(fitted.logits(valid.value)), valid.label)
    assert np.isclose(kept, min(losses), atol=1e-6)


def test_a_fit_that_gains_nothing_ends_early() -> None:
    rng = np.random.default_rng(0)
    noise = Examples(planted(512, 0).value, (rng.random(512) < 0.5).astype(np.float32))
    fit = fit_ctr(noise, planted(512, 1), SIZES, CtrRecipe(width=16, dim=4, batch=64, passes=40, patience=2, l2=0.0))
    assert len(fit.curve) == fit.best_pass + 2 < 40


def test_the_same_seed_gives_the_same_model_and_another_one_does_not() -> None:
    train, valid = planted(600, 0), planted(300, 1)
    few = CtrRecipe(width=16, dim=4, batch=128, passes=2)
    first, again, other = (fit_ctr(train, valid, SIZES, few, seed).logits(valid.value) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


def test_unknown_values_say_nothing_and_do_not_crash(fitted: CtrFit) -> None:
    every = np.full((1, len(SIZES)), UNKNOWN)
    assert 0.0 < fitted.probabilities(every)[0] < 1.0
    assert not fitted.model.embedding.weight[fitted.model.first].any()
    assert fitted.logits(np.zeros((0, len(SIZES)), np.int64)).shape == (0,)


def small_module() -> CtrModule:
    torch.manual_seed(0)
    return CtrModule(SIZES, 4, 16, 2, 4, 2, 0.0).eval().requires_grad_(False)


def test_fields_do_not_share_their_ids() -> None:
    model = small_module()
    one, other = torch.tensor([[1, 2, 3]]), torch.tensor([[2, 1, 3]])
    before = model(one), model(other)
    model.embedding.weight[SIZES[0] + 2] += 1.0
    assert not torch.allclose(model(one), before[0])
    assert torch.allclose(model(other), before[1])


def test_the_streams_meet_in_a_bilinear_form_per_head() -> None:
    model = small_module()
    model.fusion += 1.0
    value = torch.tensor([[1, 2, 3], [4, 12, 1]])
    embedded = model.embedding(value + torch.tensor([0, SIZES[0], SIZES[0] + SIZES[1]])).flatten(1)
    x, y = model.plain(embedded), model.crossed(model.cross(embedded))
    met = sum(
        ((x[:, part] @ w) * y[:, part]).sum(1) for part, w in zip((slice(8), slice(8, 16)), model.fusion, strict=True)
    )
    assert torch.allclose(model(value), (model.of_plain(x) + model.of_crossed(y))[:, 0] + met, atol=1e-6)


def test_a_planted_slope_of_each_tail_is_found_again() -> None:
    rng = np.random.default_rng(0)
    told = rng.normal(size=200_000) * 3
    planted_map = Calibration(0.4, 1.8, -0.3)
    label = rng.random(told.size) < planted_map.probabilities(told)
    found = calibrate(told, label)
    assert np.allclose([found.low, found.high, found.offset], [0.4, 1.8, -0.3], atol=0.05)
    assert calibration_error(found.probabilities(told), label) < 0.01
    assert calibration_error(Calibration().probabilities(told), label) > 0.03


@pytest.mark.parametrize("turn", [-1.0, 0.0])
def test_calibration_never_turns_the_order_round(turn: float) -> None:
    rng = np.random.default_rng(1)
    logit = rng.normal(size=5000)
    label = rng.random(5000) < 1 / (1 + np.exp(-turn * logit))
    mapped = calibrate(logit, label).logits(np.sort(logit))
    assert np.isfinite(mapped).all()
    assert (np.diff(mapped) >= 0).all()


def test_rows_that_cannot_be_learned_from_are_refused() -> None:
    good, one_kind = planted(100, 0), Examples(planted(10, 0).value, np.ones(10, np.float32))
    with pytest.raises(TrainingError, match="the training rows hold one kind of label"):
        fit_ctr(one_kind, good, SIZES)
    with pytest.raises(TrainingError, match="the validation rows hold one kind of label"):
        fit_ctr(good, one_kind, SIZES)
    with pytest.raises(TrainingError, match="the training rows hold ids outside"):
        fit_ctr(good, good, (2, 2, 2))
    with pytest.raises(TrainingError, match="no multiple of the 3 heads"):
        fit_ctr(good, good, SIZES, CtrRecipe(width=32, heads=3))

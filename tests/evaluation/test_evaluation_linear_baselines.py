import numpy as np
import pytest

from slatewise.domain.columns import Interactions
from slatewise.domain.errors import InputError
from slatewise.evaluation.baselines.als import fit_als_baseline
from slatewise.evaluation.baselines.baseline import Baseline
from slatewise.evaluation.baselines.ease import fit_ease
from slatewise.evaluation.baselines.matrix_factorisation import MatrixFactorisation
from slatewise.evaluation.baselines.spectral import fit_spectral_baseline

ITEMS = 60


def interactions(pairs: list[tuple[int, int]]) -> Interactions:
    user, item = (np.array(column) for column in zip(*pairs, strict=True))
    n = len(pairs)
    return Interactions(np.arange(n), user, item, np.zeros(n, np.int64), np.full(n, np.nan), np.ones(n, np.float32))


def fits(training: Interactions, n_items: int) -> list[Baseline]:
    rng = np.random.default_rng(0)
    ease = fit_ease(training, n_items, 10.0)
    assert ease is not None
    return [ease, fit_als_baseline(training, n_items, rng, 8), fit_spectral_baseline(training, n_items, rng, 8)]


def test_ease_solves_the_constrained_least_squares_column_by_column() -> None:
    table = (np.random.default_rng(0).random((25, 7)) < 0.4).astype(float)
    pairs = [(int(u), int(i)) for u, i in np.argwhere(table)]
    fitted = fit_ease(interactions([*pairs, pairs[0]]), 7, regularisation=3.0)
    assert fitted is not None
    expected = np.zeros((7, 7))
    for item in range(7):
        others = np.arange(7) != item
        inputs = table[:, others]
        expected[others, item] = np.linalg.solve(inputs.T @ inputs + 3.0 * np.eye(6), inputs.T @ table[:, item])
    np.testing.assert_allclose(fitted.weights, expected, atol=1e-5)
    np.testing.assert_allclose(fitted.score([np.array([1, 4, 4, 99])])[0], expected[1] + expected[4], atol=1e-5)


def test_ease_is_not_fitted_on_more_items_than_allowed() -> None:
    training = interactions([(0, 1), (0, 2)])
    assert fit_ease(training, 5, max_items=4) is None
    assert fit_ease(training, 5, max_items=5) is not None
    with pytest.raises(InputError, match="regularisation"):
        fit_ease(training, 5, regularisation=0.0)


def test_all_of_them_know_the_checkerboard(checkerboard: Interactions) -> None:
    for baseline in fits(checkerboard, ITEMS):
        scores = baseline.score([np.arange(parity, ITEMS, 2)[:6] for parity in (0, 1)])
        for parity in (0, 1):
            assert (np.argsort(-scores[parity])[:20] % 2 == parity).mean() > 0.9, baseline.name


def test_histories_that_say_nothing_get_no_opinion(checkerboard: Interactions) -> None:
    for baseline in fits(checkerboard, ITEMS + 5):
        assert baseline.n_items == ITEMS + 5
        told, empty, unknown = baseline.score([np.array([2]), np.array([], np.int64), np.array([ITEMS + 1, 999])])
        assert np.isfinite(told).any(), baseline.name
        assert np.isnan(empty).all(), baseline.name
        assert np.isnan(unknown).all(), baseline.name


def test_no_training_is_no_reason_to_fail() -> None:
    assert [b.score([np.array([1])]).shape for b in fits(Interactions.empty(), 4)] == [(1, 4)] * 3


def test_a_batch_scores_as_one_by_one(checkerboard: Interactions) -> None:
    histories = [np.array([1, 3, 5]), np.array([], np.int64), np.array([2, 2])]
    for baseline in fits(checkerboard, ITEMS):
        whole = baseline.score(histories)
        alone = np.concatenate([baseline.score([history]) for history in histories])
        np.testing.assert_allclose(whole, alone, atol=1e-5)


def test_a_model_that_scores_batches_is_asked_once() -> None:
    class Batch:
        asked = 0

        def scores(self, histories: list[np.ndarray]) -> np.ndarray:
            self.asked += 1
            return np.array([[len(history), 1.0] for history in histories], np.float32)

    model = Batch()
    scores = MatrixFactorisation(model, 3).score([np.array([0, 1]), np.array([], np.int64), np.array([1])])
    assert model.asked == 1
    np.testing.assert_array_equal(scores, [[2, 1, np.nan], [np.nan] * 3, [1, 1, np.nan]])

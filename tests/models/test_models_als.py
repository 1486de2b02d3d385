import numpy as np
import pytest

from slatewise.domain.errors import InputError
from slatewise.models import least_squares
from slatewise.models.als import AlsFactors, fit_als
from slatewise.models.als_towers import AlsItemTower, AlsUserTower
from slatewise.models.interaction_matrix import interaction_matrix
from slatewise.models.least_squares import Ridge, in_eigenbasis, solve_rows
from slatewise.ports.models import Bag, Sequence

NOBODY = Bag(np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32))
ALPHA, LAMBDA, EXPONENT = 0.1, 0.05, 0.7


def tastes(users: int = 60, items: int = 40, share: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Even users like even items, odd users odd ones; each has met a share of its own half."""
    rng = np.random.default_rng(seed)
    user, item = np.nonzero((np.arange(users)[:, None] + np.arange(items)[None]) % 2 == 0)
    kept = rng.random(user.size) < share
    return user[kept], item[kept]


def fitted(dim: int = 8, seed: int = 0, **parameters: float) -> AlsFactors:
    given = {"unobserved": ALPHA, "regularisation": LAMBDA, "exponent": EXPONENT, **parameters}
    return fit_als(*tastes(), 45, dim, np.random.default_rng(seed), **given)  # type: ignore[arg-type]


def ridge_of(vectors: np.ndarray) -> tuple[np.ndarray, Ridge]:
    rotated, spectrum = in_eigenbasis(vectors)
    return rotated, Ridge(spectrum, len(vectors), ALPHA, LAMBDA, EXPONENT)


def naive(matrix: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Solve each row's normal equations as they stand in the paper, in float64."""
    vectors = vectors.astype(np.float64)
    solved = np.zeros((len(matrix), vectors.shape[1]))
    for row, touched in enumerate(matrix > 0):
        mine = vectors[touched]
        pull = LAMBDA * (touched.sum() + ALPHA * len(vectors)) ** EXPONENT
        system = mine.T @ mine + ALPHA * vectors.T @ vectors + pull * np.eye(vectors.shape[1])
        solved[row] = np.linalg.solve(system, mine.sum(0))
    return solved


def objective(matrix: np.ndarray, users: np.ndarray, items: np.ndarray) -> float:
    predicted = users.astype(np.float64) @ items.astype(np.float64).T
    loss = ((1 - predicted[matrix > 0]) ** 2).sum() + ALPHA * (predicted**2).sum()
    for side, entries, others in ((users, matrix.sum(1), len(items)), (items, matrix.sum(0), len(users))):
        loss += (LAMBDA * (entries + ALPHA * others) ** EXPONENT * (side.astype(np.float64) ** 2).sum(1)).sum()
    return float(loss)


def steps(embeddings: np.ndarray, histories: list[list[int]], length: int) -> Sequence:
    item = np.zeros((len(histories), length, embeddings.shape[1]), np.float32)
    mask = np.zeros((len(histories), length), np.float32)
    for query, history in enumerate(histories):
        item[query, : len(history)] = embeddings[history]
        mask[query, : len(history)] = 1.0
    nothing = np.zeros(mask.shape, np.int64)
    return Sequence(item, nothing, nothing, np.full(mask.shape, -1, np.float32), mask)


def spread_matrix(longest: int, items: int = 400) -> np.ndarray:
    """Rows of no, one, two, ... and *longest* entries, in no order."""
    rng = np.random.default_rng(1)
    matrix = np.zeros((60, items), np.float32)
    for row, length in zip(rng.permutation(60), np.linspace(0, longest, 60).astype(int), strict=True):
        matrix[row, rng.choice(items, length, replace=False)] = 1
    return matrix


@pytest.mark.parametrize(("dim", "cells"), [(12, 1 << 20), (12, 700), (150, 1 << 20), (150, 40_000)])
def test_short_and_long_rows_in_any_batches_equal_the_normal_equations(
    dim: int, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(least_squares, "CELLS", cells)
    monkeypatch.setattr(least_squares, "PRODUCT", 3000)
    matrix = spread_matrix(longest=300)
    vectors, ridge = ridge_of(np.random.default_rng(2).standard_normal((400, dim)).astype(np.float32) * 0.3)
    user, item = np.nonzero(matrix)
    solved = solve_rows(interaction_matrix(user, item, 400), vectors, ridge)
    expected = naive(matrix, vectors)
    np.testing.assert_allclose(solved, expected[np.unique(user)], atol=1e-4 * np.abs(expected).max())


def test_the_eigenbasis_keeps_dot_products_and_makes_the_gram_matrix_diagonal() -> None:
    vectors = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
    rotated, spectrum = in_eigenbasis(vectors)
    np.testing.assert_allclose(rotated @ rotated.T, vectors @ vectors.T, atol=1e-4)
    np.testing.assert_allclose(rotated.T @ rotated, np.diag(spectrum), atol=1e-3)
    assert (np.diff(spectrum) <= 0).all()


def test_every_half_sweep_lowers_the_objective() -> None:
    by_user = interaction_matrix(*tastes(), 40)
    by_item, dense = by_user.T.tocsr(), by_user.toarray()
    items = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32) * 0.1
    users, falls = np.zeros((60, 6), np.float32), []
    for _ in range(6):
        items, ridge = ridge_of(items)
        users = solve_rows(by_user, items, ridge)
        falls.append(objective(dense, users, items))
        users, ridge = ridge_of(users)
        items = solve_rows(by_item, users, ridge)
        falls.append(objective(dense, users, items))
    assert (np.diff(falls) < 0).all()


def test_a_fit_is_the_sweeps_of_the_naive_reference() -> None:
    user, item = tastes()
    dense = interaction_matrix(user, item, 40).toarray()
    touched = np.unique(item)
    items = np.random.default_rng(3).standard_normal((touched.size, 8)) * (0.1 / 8**0.5)
    for _ in range(3):
        items = naive(dense[:, touched].T, naive(dense[:, touched], items))
    scores = naive(dense[:, touched], items) @ items.T
    factors = fitted(seed=3, iterations=3)
    assert factors.scores([item[user == one] for one in range(60)])[:, touched] == pytest.approx(scores, abs=1e-4)


def test_folding_a_training_history_in_gives_that_users_training_vector() -> None:
    user, item = tastes()
    factors = fitted()
    trained = solve_rows(interaction_matrix(user, item, 45), factors.item, factors.ridge)
    folded = factors.fold_in([item[user == one] for one in range(60)])
    np.testing.assert_allclose(folded, trained, atol=1e-5)
    np.testing.assert_array_equal(factors.fold_in(interaction_matrix(user, item, 45)), trained)


def test_factors_complete_the_tastes_of_users_they_never_saw() -> None:
    factors = fitted()
    for parity in (0, 1):
        top = np.argsort(-factors.score(np.arange(parity, 40, 2)[:5]))[:20]
        assert (top % 2 == parity).all()


def test_the_same_seed_gives_the_same_factors_and_another_seed_others() -> None:
    np.testing.assert_array_equal(fitted(seed=1).item, fitted(seed=1).item)
    assert not np.array_equal(fitted(seed=1).item, fitted(seed=2).item)


def test_repeated_rows_count_once_and_unknown_rows_not_at_all() -> None:
    factors = fitted()
    plain = factors.score(np.array([2, 4]))
    # Row 44 has no interactions, 45 and -1 are no rows of the factors.
    np.testing.assert_array_equal(factors.score(np.array([2, 4, 4, 2, 44, 45, 99, -1])), plain)
    user, item = tastes()
    twice = fit_als(np.tile(user, 2), np.tile(item, 2), 40, 8, np.random.default_rng(0))
    once = fit_als(user, item, 40, 8, np.random.default_rng(0))
    np.testing.assert_array_equal(once.item, twice.item)


def test_empty_histories_and_untouched_items_get_zeros() -> None:
    factors = fitted()
    assert not factors.item[40:].any()
    vectors = factors.fold_in([np.array([], np.int64), np.array([2]), np.array([99])])
    assert vectors.any(1).tolist() == [False, True, False]
    assert factors.fold_in([]).shape == (0, 8)


def test_items_that_nobody_touched_change_nothing_for_the_others() -> None:
    user, item = tastes()
    few = fit_als(user, item, 40, 8, np.random.default_rng(0))
    many = fit_als(user, item + 1000, 2000, 8, np.random.default_rng(0))
    np.testing.assert_array_equal(many.item[1000:1040], few.item)


def test_the_gram_matrix_is_that_of_the_items() -> None:
    factors = fitted()
    np.testing.assert_allclose(factors.gram, factors.item.T @ factors.item, atol=1e-3)


@pytest.mark.parametrize(("users", "items", "dim"), [(3, 50, 16), (50, 3, 16), (1, 1, 2)])
def test_more_dimensions_than_the_data_has_do_no_harm(users: int, items: int, dim: int) -> None:
    rng = np.random.default_rng(0)
    factors = fit_als(rng.integers(0, users, 40), rng.integers(0, items, 40), items, dim, rng)
    assert np.isfinite(factors.score(np.array([0]))).all()


def test_no_interactions_give_zero_factors() -> None:
    nothing = np.array([], np.int64)
    factors = fit_als(nothing, nothing, 5, 4, np.random.default_rng(0))
    assert factors.score(np.array([1])).tolist() == [0.0] * 5


@pytest.mark.parametrize(
    "wrong",
    [{"dim": 0}, {"iterations": 0}, {"unobserved": -0.1}, {"regularisation": 0.0}, {"exponent": -1.0}],
)
def test_parameters_out_of_range_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        fitted(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [6, 30])
def test_towers_give_the_scores_of_the_factors_up_to_length(length: int) -> None:
    factors = fitted()
    embeddings, vectors = AlsItemTower(factors.item).encode(np.arange(1, 46), NOBODY)
    histories = [[2, 4, 6], [], [1, 3, 1, 3, 3, 44], list(range(0, 40, 2))[:length]]
    users = AlsUserTower(factors.ridge).encode(steps(embeddings, histories, length), NOBODY)
    for history, vector in zip(histories, users, strict=True):
        expected = factors.score(np.array(history, np.int64))
        length_of = np.linalg.norm(factors.fold_in([np.array(history, np.int64)]))
        np.testing.assert_allclose(vectors @ vector * length_of, expected, atol=1e-5)
        assert np.linalg.norm(vector) == pytest.approx(1.0 if history else 0.0, abs=1e-5)


def test_the_tower_ignores_what_the_mask_hides() -> None:
    factors = fitted()
    embeddings, _ = AlsItemTower(factors.item).encode(np.arange(1, 46), NOBODY)
    tower = AlsUserTower(factors.ridge)
    shown = steps(embeddings, [[2, 4]], 4)
    shown.item[0, 2:] = embeddings[[1, 3]]
    np.testing.assert_array_equal(tower.encode(shown, NOBODY), tower.encode(steps(embeddings, [[2, 4]], 4), NOBODY))


def test_items_unseen_in_training_have_zero_vectors() -> None:
    embedding, vector = AlsItemTower(fitted().item).encode(np.array([0, 3]), NOBODY)
    assert embedding.any(1).tolist() == vector.any(1).tolist() == [False, True]

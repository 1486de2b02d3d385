import numpy as np
import pytest

from slatewise.domain.columns import Interactions
from slatewise.training.linear import choose_linear, fit_linear
from slatewise.training.progress import Silent
from slatewise.training.validation import Validation, hold_back, mean_of, preferred


def interactions(user: np.ndarray, item: np.ndarray, ordered: bool = True) -> Interactions:
    n = user.size
    at = np.arange(n, dtype=float) if ordered else np.full(n, np.nan)
    return Interactions(np.arange(n), user, item, np.zeros(n, np.int64), at, np.ones(n, np.float32))


def test_with_an_order_the_last_interaction_of_some_users_is_held_back() -> None:
    user = np.repeat(np.arange(50), 6)
    held = hold_back(interactions(user, np.arange(300) % 40), frozenset({0}), 40, np.random.default_rng(0))
    assert held.sum() == 25
    assert (np.flatnonzero(held) % 6 == 5).all()


def test_without_an_order_a_tenth_of_some_users_items_is_held_back() -> None:
    user = np.concatenate([np.repeat(np.arange(40), 20), np.repeat(np.arange(40, 60), 3)])
    given = interactions(user, np.arange(user.size) % 37, ordered=False)
    held = hold_back(given, frozenset({0}), 37, np.random.default_rng(0))
    count = np.bincount(user[held], minlength=60)
    assert set(count[:40].tolist()) == {0, 2}
    assert count[:40].sum() == 40
    assert count[40:].sum() == 0, "users with hardly a history judge nothing"


def test_ndcg_is_that_of_the_definition_with_several_targets_and_ties_against_the_model() -> None:
    known = interactions(np.array([0, 0, 1]), np.array([0, 1, 2]))
    held = interactions(np.array([0, 0, 1]), np.array([3, 4, 5]))
    validation = Validation.of_held(known, held, 10, 6)
    table = np.array([[9, 9, 1, 5, 4, 0], [1, 1, 9, 1, 1, 1]], np.float32)
    found = validation.ndcg(lambda part: table[part].copy())
    ideal = 1 + 1 / np.log2(3)
    first = (1 + 1 / np.log2(3)) / ideal  # seen items do not count: 3 and 4 are first and second
    second = 1 / np.log2(6)  # four others tie, and stand before it
    assert found == pytest.approx((first + second) / 2)


def test_options_are_judged_as_if_alone() -> None:
    rng = np.random.default_rng(0)
    known = interactions(np.repeat(np.arange(300), 4), rng.integers(0, 50, 1200))
    held = interactions(np.arange(300), rng.integers(0, 50, 300))
    validation = Validation.of_held(known, held, 10, 50)
    tables = rng.standard_normal((3, 300, 50)).astype(np.float32)
    together = validation.ndcgs(lambda part: (table[part].copy() for table in tables))
    alone = [validation.ndcg(lambda part, table=table: table[part].copy()) for table in tables]
    np.testing.assert_allclose(together, alone)


def chosen(given: Interactions, n_items: int):
    rng = np.random.default_rng(0)
    held = hold_back(given, frozenset({0}), n_items, rng)
    past = given.take(~held)
    validation = Validation.of_held(past, given.take(held), 20, n_items)
    choice, _ = choose_linear(past, validation, 32, 8, rng, Silent())
    return choice, validation, fit_linear(past, n_items, choice, 8, rng, Silent())


def test_data_in_which_the_next_item_follows_choose_what_follows() -> None:
    rng = np.random.default_rng(0)
    start = rng.integers(0, 60, 200)
    item = (start[:, None] + np.arange(12)).ravel() % 60
    choice, validation, linear = chosen(interactions(np.repeat(np.arange(200), 12), item), 60)
    assert choice.family == "following"
    assert choice.ndcg > 0.8
    measured = validation.ndcg(lambda part: linear.lists.scores(validation.rows[part]))
    assert measured == pytest.approx(choice.ndcg, abs=0.05)


def test_data_without_an_order_choose_sets_and_find_the_group() -> None:
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(200), 15)
    item = np.concatenate([rng.choice(20, 15, replace=False) + 20 * (u % 4) for u in range(200)])
    choice, validation, linear = chosen(interactions(user, item, ordered=False), 80)
    assert choice.family == "set"
    measured = validation.ndcg(lambda part: linear.lists.scores(validation.rows[part]))
    assert measured > 0.3, "the five that are left of a group of twenty"


def test_noise_does_not_choose():
    rng = np.random.default_rng(0)
    usual = rng.random(2000)
    noisy = usual + rng.normal(0, 0.3, 2000)
    noisy += 0.5 * 0.3 / np.sqrt(2000) - (noisy - usual).mean()
    better = usual + 0.1 + rng.normal(0, 0.3, 2000)
    assert preferred(np.stack([noisy, usual]), 1) == 1
    assert preferred(np.stack([usual, better]), 0) == 1
    assert preferred(np.stack([usual, usual - 0.1]), 0) == 0
    assert preferred(np.empty((3, 0)), 2) == 2
    assert mean_of(np.empty((2, 0))).tolist() == [0.0, 0.0]


def test_a_sample_judges_its_users_as_the_whole_does():
    rng = np.random.default_rng(1)
    size, items = 300, 50
    table = rng.random((size, items)).astype(np.float32)
    known = interactions(np.repeat(np.arange(size), 3), rng.integers(0, items, 3 * size))
    held = interactions(np.repeat(np.arange(size), 2), rng.integers(0, items, 2 * size))
    whole = Validation.of_held(known, held, 5, items)
    part = whole.sample(40)
    assert len(part) == 40
    assert whole.sample(400) is whole
    every = whole.ndcgs_of_users(lambda at: [table[whole.user[at]].copy()])
    some = part.ndcgs_of_users(lambda at: [table[part.user[at]]])
    np.testing.assert_allclose(some[0], every[0][np.searchsorted(whole.user, part.user)])
    np.testing.assert_array_equal(part.past.row, whole.past.row[np.searchsorted(whole.user, part.user)])

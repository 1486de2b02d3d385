from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp

from slatewise.models.following import STEP_DECAY, fit_following
from slatewise.models.interaction_matrix import interaction_matrix
from slatewise.models.item_item import ItemItem, strongest
from slatewise.models.low_pass import LowPass, direct_filter, fit_low_pass
from slatewise.models.spectral import spectral_basis

TABLE = np.array([[0, 2, 1, 0], [3, 0, 0, 0], [0, 5, 9, 4], [0, 0, 0, 0]], np.float32)


def relation(decay: float = 1.0, last: int = 10, neighbours: int = 4) -> ItemItem:
    return strongest(sp.csr_matrix(TABLE), neighbours, decay, last)


def test_an_item_is_no_neighbour_of_itself_and_only_the_strongest_stay() -> None:
    np.testing.assert_array_equal(
        relation(neighbours=1).matrix().toarray()[:3], [[0, 2, 0, 0], [3, 0, 0, 0], [0, 5, 0, 0]]
    )


def test_a_block_of_rows_knows_which_items_they_are() -> None:
    lower = strongest(sp.csr_matrix(TABLE[2:]), 4, 1.0, 10, first=2)
    np.testing.assert_array_equal(lower.matrix().toarray()[0, :4] if lower.n_items == 4 else lower.value, [5, 4])


def test_a_set_counts_each_item_once_whatever_the_order() -> None:
    lists = relation()
    rows, scores = lists.around(np.array([2, 0, 2]))
    assert dict(zip(rows.tolist(), scores.tolist(), strict=True)) == {1: 7.0, 2: 1.0, 3: 4.0}


def test_older_steps_weigh_less_and_steps_beyond_the_last_nothing() -> None:
    lists = relation(decay=0.5, last=2)
    rows, scores = lists.around(np.array([1, 2, 0]))
    assert dict(zip(rows.tolist(), scores.tolist(), strict=True)) == {1: 2.0 + 0.5 * 5.0, 2: 1.0, 3: 2.0}


@pytest.mark.parametrize("decay", [1.0, 0.7])
def test_one_history_and_many_score_alike(decay: float) -> None:
    rng = np.random.default_rng(0)
    lists = strongest(sp.random(30, 30, 0.3, "csr", rng=rng, dtype=np.float32), 5, decay, 6)
    histories = [rng.integers(0, 30, n) for n in (0, 1, 4, 9)]
    many = lists.scores(histories)
    for history, scores in zip(histories, many, strict=True):
        np.testing.assert_allclose(lists.at(history, np.arange(30)), scores, rtol=1e-5)


def test_unknown_rows_and_empty_histories_say_nothing() -> None:
    lists = relation()
    for history in (np.empty(0, np.int64), np.array([3]), np.array([99, -1])):
        rows, scores = lists.around(history)
        assert rows.size == scores.size == 0
        np.testing.assert_array_equal(lists.at(history, np.array([0, 1])), [0, 0])


def test_scores_of_some_rows_are_those_of_all_whatever_else_is_asked() -> None:
    rng = np.random.default_rng(0)
    lists = strongest(sp.random(50, 50, 0.3, "csr", rng=rng, dtype=np.float32), 9, 0.7, 6)
    for _ in range(20):
        history, wanted = rng.integers(0, 50, 8), rng.integers(-3, 60, 12)
        rows, scores = lists.around(history)
        known = dict(zip(rows.tolist(), scores.tolist(), strict=True))
        assert np.all(np.diff(rows) > 0)
        np.testing.assert_array_equal(lists.at(history, wanted), [known.get(row, 0.0) for row in wanted.tolist()])


def test_many_threads_look_rows_up_at_once() -> None:
    rng = np.random.default_rng(0)
    lists = strongest(sp.random(300, 300, 0.2, "csr", rng=rng, dtype=np.float32), 40, 0.9, 50)
    histories = [rng.integers(0, 300, 60) for _ in range(16)]
    alone = [lists.around(history) for history in histories]

    def again(number: int) -> bool:
        rows, scores = lists.around(histories[number])
        return (
            np.array_equal(rows, alone[number][0])
            and np.array_equal(lists.at(histories[number], rows), alone[number][1])
            and np.array_equal(scores, alone[number][1])
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(again, list(range(16)) * 40))


def test_what_follows_is_counted_by_distance_and_within_a_user_only() -> None:
    user, item = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 2, 0])
    table = fit_following(user, item, 3, 3, 0.7).matrix().toarray()
    count = np.array([2.0, 1.0, 2.0])
    raw = np.array([[0, 1, STEP_DECAY], [0, 0, 1], [1, 0, 0]])
    expected = raw / (count[:, None] + 20.0) ** 0.75 / count[None] ** 0.25
    np.testing.assert_allclose(table, expected, rtol=1e-5)


def by_hand(dense: np.ndarray, choice: LowPass) -> np.ndarray:
    user, item = np.maximum(dense.sum(1), 1), np.maximum(dense.sum(0), 1)
    normal = dense / np.sqrt(user[:, None] * item[None])
    _, sigma, right = np.linalg.svd(normal, full_matrices=False)
    kept = right[: choice.rank]
    smooth = (kept.T * sigma[: choice.rank] ** choice.power) @ kept
    smooth = smooth * np.sqrt(item[None] / item[:, None])
    shared = dense.T @ (dense / user[:, None] ** 0.75)
    return smooth + choice.direct * shared / item[:, None] ** 0.6 / item[None] ** 0.3


@pytest.mark.parametrize("choice", [LowPass(3, 0.0, 1.0), LowPass(5, 1.0, 2.0), LowPass(4, 0.5, 0.5)])
def test_the_filter_is_the_dense_formula_cut_to_the_strongest(choice: LowPass, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    dense = (rng.random((40, 25)) < 0.25).astype(float)
    matrix = interaction_matrix(*np.nonzero(dense), 25)
    expected = by_hand(dense, choice)
    np.fill_diagonal(expected, 0.0)
    basis = spectral_basis(matrix, 12, np.random.default_rng(0))
    found = fit_low_pass(matrix, basis, choice, 6, 100).matrix().toarray()
    for row in range(25):
        strong = np.argsort(-expected[row])[:6]
        np.testing.assert_allclose(found[row, strong], np.maximum(expected[row, strong], 0), atol=2e-3)
        assert np.count_nonzero(found[row]) <= 6
    # The way for large catalogues looks at co-occurring pairs only; here those are all that matter.
    monkeypatch.setattr("slatewise.models.low_pass.DENSE_FLOPS", 0)
    sparse = fit_low_pass(matrix, basis, choice, 6, 100).matrix().toarray()
    held = sparse > 0
    np.testing.assert_allclose(sparse[held], expected[held], atol=2e-3)


def test_the_direct_filter_is_co_occurrence_by_degree() -> None:
    matrix = interaction_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    left, right = direct_filter(matrix)
    half = 2**-0.75
    expected = np.array([[half, half / 2**0.3], [half / 2**0.6, (1 + half) / 2**0.9]])
    np.testing.assert_allclose((left @ right).toarray(), expected, rtol=1e-5)

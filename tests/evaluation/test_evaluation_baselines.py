import numpy as np
import pytest

from slatewise.domain.columns import Interactions
from slatewise.domain.holdout import last_of_each_user
from slatewise.evaluation.baselines.baseline import Baseline
from slatewise.evaluation.baselines.full_ranking import rank_catalogue
from slatewise.evaluation.baselines.item_knn import fit_item_knn
from slatewise.evaluation.baselines.markov import fit_markov
from slatewise.evaluation.baselines.matrix_factorisation import MatrixFactorisation
from slatewise.evaluation.baselines.popularity import fit_popularity
from slatewise.evaluation.baselines.recent_popularity import fit_recent_popularity
from slatewise.evaluation.cases import Case, last_item_cases
from slatewise.evaluation.lists import hits
from slatewise.evaluation.metrics.hit_rate import hit_rate
from slatewise.models.spectral import fit_spectral

ITEMS = 60


def names(rows: np.ndarray) -> list[str]:
    return [str(row) for row in rows.tolist()]


def interactions(rows: list[tuple[int, int]], at: list[float] | None = None) -> Interactions:
    user, item = (np.array(column) for column in zip(*rows, strict=True))
    n = len(rows)
    when = np.arange(n, dtype=np.float64) if at is None else np.array(at)
    return Interactions(np.arange(n), user, item, np.zeros(n, np.int64), when, np.ones(n, np.float32))


def case(row: list[int], action: list[int] | None = None) -> Case:
    from slatewise.domain.history import History

    acted = np.zeros(len(row), np.int64) if action is None else np.array(action)
    history = History(np.array(row, np.int64), acted, np.arange(len(row), dtype=np.float64))
    return Case(0, "u", 9.0, 9, history, np.array([0]))


def hit_rate_at_10(baseline: Baseline, cases: list[Case]) -> float:
    hit, counts = hits(rank_catalogue(baseline, cases, 10, {0}, {0}), [case.targets for case in cases])
    return float(hit_rate(hit, counts, 10).mean())


def test_neighbours_know_the_checkerboard_and_popularity_does_not(checkerboard: Interactions) -> None:
    cases = last_item_cases(checkerboard, {0}, names)
    training = checkerboard.take(~last_of_each_user(checkerboard))
    assert hit_rate_at_10(fit_item_knn(training, ITEMS), cases) > 0.95
    factors = fit_spectral(training.user, training.item, ITEMS, 8, np.random.default_rng(0))
    assert hit_rate_at_10(MatrixFactorisation(factors, ITEMS), cases) > 0.8
    assert hit_rate_at_10(fit_popularity(training, ITEMS), cases) < 0.4


def test_markov_knows_a_ring_and_popularity_does_not() -> None:
    rng = np.random.default_rng(2)
    past = interactions(
        [
            (user, int(start + step) % ITEMS)
            for user, start in enumerate(rng.integers(0, ITEMS, 300))
            for step in range(8)
        ]
    )
    cases = last_item_cases(past, {0}, names)
    training = past.take(~last_of_each_user(past))
    markov = fit_markov(training, ITEMS)
    first = rank_catalogue(markov, cases, 1, {0}, {0})[:, 0]
    assert np.mean(first == [case.targets[0] for case in cases]) > 0.95
    assert hit_rate_at_10(fit_popularity(training, ITEMS), cases) < 0.4


def test_item_knn_equals_cosines_counted_by_hand() -> None:
    rng = np.random.default_rng(6)
    table = rng.random((30, 12)) < 0.4
    past = interactions([(int(u), int(i)) for u, i in np.argwhere(table)] + [(0, int(np.flatnonzero(table[0])[0]))])
    knn = fit_item_knn(past, 12, neighbours=4, shrinkage=2.0)
    together = table.T.astype(float) @ table
    norm = np.sqrt(np.diag(together))
    expected = together / (np.outer(norm, norm) + 2.0)
    np.fill_diagonal(expected, 0.0)
    fourth = np.sort(expected, axis=1)[:, -4]
    got = knn.similarity.toarray()
    assert (np.count_nonzero(got, axis=1) == 4).all()
    np.testing.assert_allclose(got[got > 0], expected[got > 0], rtol=1e-6)
    assert got.max(1) == pytest.approx(expected.max(1))
    assert ((got > 0) <= (expected >= fourth[:, None] - 1e-12)).all()


def test_item_knn_is_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch, checkerboard: Interactions) -> None:
    whole = fit_item_knn(checkerboard, ITEMS, neighbours=7).similarity.toarray()
    monkeypatch.setattr("slatewise.evaluation.baselines.item_knn.BLOCK", 13)
    np.testing.assert_array_equal(fit_item_knn(checkerboard, ITEMS, neighbours=7).similarity.toarray(), whole)


def test_markov_weighs_distance_in_training_and_age_in_the_history() -> None:
    markov = fit_markov(interactions([(0, 1), (0, 2), (0, 3), (1, 9), (1, 1)]), 10)
    assert markov.transitions[1, 2] == pytest.approx(1.0)
    assert markov.transitions[1, 3] == pytest.approx(0.8)
    assert markov.transitions[3, 9] == 0.0
    score = markov.score([np.array([1, 2])])[0]
    # From 2, the newest, at full weight; from 1, one step back, at .8.
    assert score[3] == pytest.approx(1.0 + 0.8 * 0.8)
    assert np.isnan(score[5])


def test_markov_reads_the_last_ten_only() -> None:
    markov = fit_markov(interactions([(0, 1), (0, 2)]), 30)
    assert np.isfinite(markov.score([np.array([1, *range(10, 19)])])[0, 2])
    assert np.isnan(markov.score([np.array([1, *range(10, 20)])])[0, 2])


def test_recent_popularity_counts_the_newest_by_time_not_by_place_in_the_log() -> None:
    past = interactions([(0, 1), (0, 2), (0, 3), (0, 4)], at=[99.0, 1.0, np.nan, 50.0])
    assert np.flatnonzero(fit_recent_popularity(past, 6, share=0.5).count).tolist() == [1, 4]


def test_recent_popularity_by_days_reaches_back_from_the_newest() -> None:
    past = interactions([(0, 1), (0, 2), (0, 3)], at=[0.0, 3 * 86_400.0, 4 * 86_400.0])
    assert np.flatnonzero(fit_recent_popularity(past, 6, days=2.0).count).tolist() == [2, 3]


def test_seen_items_leave_the_list_by_the_action_that_settings_name() -> None:
    popular = fit_popularity(interactions([(0, i) for i in range(5) for _ in range(5 - i)]), 5)
    watched = case([0, 1], action=[0, 1])
    assert rank_catalogue(popular, [watched], 5, {0, 1}, {0}).tolist() == [[1, 2, 3, 4, -1]]
    assert rank_catalogue(popular, [watched], 5, {0, 1}, {0, 1}).tolist() == [[2, 3, 4, -1, -1]]
    assert rank_catalogue(popular, [watched], 5, {0, 1}, set()).tolist() == [[0, 1, 2, 3, 4]]


def test_unavailable_items_leave_the_list() -> None:
    popular = fit_popularity(interactions([(0, i) for i in range(5) for _ in range(5 - i)]), 5)
    allow = np.array([False, True, True])
    assert rank_catalogue(popular, [case([])], 3, {0}, {0}, allow=allow).tolist() == [[1, 2, -1]]


def test_only_positive_history_speaks_for_the_user() -> None:
    markov = fit_markov(interactions([(0, 1), (0, 2), (1, 3), (1, 4)]), 6)
    told = case([3, 1], action=[0, 1])
    assert rank_catalogue(markov, [told], 2, {0}, set()).tolist() == [[4, -1]]


def test_places_without_an_opinion_go_to_popular_items_not_listed_nor_seen() -> None:
    markov = fit_markov(interactions([(0, 1), (0, 2)]), 6)
    popular = np.array([9, 8, 7, 6, 5, 4], np.float32)
    assert rank_catalogue(markov, [case([1]), case([])], 3, {0}, {0}, backfill=popular).tolist() == [
        [2, 0, 3],
        [0, 1, 2],
    ]


def test_batches_do_not_change_a_ranking(monkeypatch: pytest.MonkeyPatch, checkerboard: Interactions) -> None:
    cases = last_item_cases(checkerboard, {0}, names)
    knn = fit_item_knn(checkerboard, ITEMS)
    whole = rank_catalogue(knn, cases, 10, {0}, {0})
    monkeypatch.setattr("slatewise.evaluation.baselines.full_ranking.CELLS", 7 * ITEMS)
    np.testing.assert_array_equal(rank_catalogue(knn, cases, 10, {0}, {0}), whole)


def test_a_model_smaller_than_the_catalogue_has_no_opinion_of_the_rest() -> None:
    class Two:
        def score(self, history: np.ndarray) -> np.ndarray:
            return np.array([0.1, 0.2], np.float32)

    scores = MatrixFactorisation(Two(), 4).score([np.array([0]), np.array([], np.int64)])
    assert np.isfinite(scores).tolist() == [[True, True, False, False], [False] * 4]


@pytest.mark.parametrize("fit", [fit_popularity, fit_recent_popularity, fit_item_knn, fit_markov])
def test_no_training_is_no_reason_to_fail(fit: object) -> None:
    baseline = fit(Interactions.empty(), 4)  # type: ignore[operator]
    assert baseline.score([np.array([1])]).shape == (1, 4)

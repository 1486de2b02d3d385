from collections.abc import Callable

import numpy as np
import pytest
import torch
from torchmetrics.retrieval import RetrievalHitRate, RetrievalMRR, RetrievalNormalizedDCG, RetrievalRecall

from slatewise.evaluation.lists import Counts, Hits, Lists, PerQuery, found, hits, padded
from slatewise.evaluation.metrics.categories import distinct_categories
from slatewise.evaluation.metrics.coverage import coverage
from slatewise.evaluation.metrics.diversity import diversity
from slatewise.evaluation.metrics.hit_rate import hit_rate
from slatewise.evaluation.metrics.mrr import mrr
from slatewise.evaluation.metrics.ndcg import ndcg
from slatewise.evaluation.metrics.novelty import novelty
from slatewise.evaluation.metrics.recall import recall

QUERIES, ITEMS = 60, 40

RANKING_METRICS = [
    (recall, RetrievalRecall),
    (ndcg, RetrievalNormalizedDCG),
    (hit_rate, RetrievalHitRate),
    (mrr, RetrievalMRR),
]


def random_lists(longest: int, seed: int) -> tuple[Lists, list[np.ndarray]]:
    """Ragged lists, some empty, and one to seven targets per query, some of them in no list."""
    rng = np.random.default_rng(seed)
    ragged = [rng.permutation(ITEMS)[: rng.integers(0, longest + 1)] for _ in range(QUERIES)]
    targets = [rng.permutation(ITEMS)[: rng.integers(1, 8)] for _ in range(QUERIES)]
    return padded(ragged, longest), targets


def as_torch(lists: Lists, targets: list[np.ndarray], k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The same lists as scores without ties: k fillers nobody wants end each list, then come the items not listed."""
    width = ITEMS + k
    score = np.zeros((len(lists), width), np.float64)
    wanted = np.zeros((len(lists), width), bool)
    for query, (row, target) in enumerate(zip(lists, targets, strict=True)):
        listed = row[row >= 0]
        order = np.concatenate([listed, np.arange(ITEMS, width), np.setdiff1d(np.arange(ITEMS), listed)])
        score[query, order] = np.linspace(1.0, 0.1, width)
        wanted[query, target] = True
    index = np.repeat(np.arange(len(lists)), width)
    return torch.tensor(score.ravel()), torch.tensor(wanted.ravel()), torch.tensor(index)


@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize("longest", [5, 30])
@pytest.mark.parametrize(("ours", "theirs"), RANKING_METRICS)
def test_ranking_metric_equals_the_public_library(
    ours: Callable[[Hits, Counts, int], PerQuery], theirs: Callable[..., object], longest: int, k: int
) -> None:
    lists, targets = random_lists(longest, seed=longest * 100 + k)
    hit, counts = hits(lists, targets)
    score, wanted, index = as_torch(lists, targets, k)
    expected = float(theirs(top_k=k)(score, wanted, indexes=index))
    assert expected > 0
    assert ours(hit, counts, k).mean() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("ours", "theirs"), RANKING_METRICS)
def test_lists_without_a_hit_are_worth_nothing(
    ours: Callable[[Hits, Counts, int], PerQuery], theirs: Callable[..., object]
) -> None:
    lists, targets = padded([np.arange(5), np.arange(5, 10)], 10), [np.array([30]), np.array([31, 32])]
    hit, counts = hits(lists, targets)
    score, wanted, index = as_torch(lists, targets, 10)
    assert float(theirs(top_k=10)(score, wanted, indexes=index)) == 0
    assert ours(hit, counts, 10).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("ours", "theirs"), RANKING_METRICS)
def test_no_metric_sees_beyond_k_and_no_list_at_all_is_nothing(
    ours: Callable[[Hits, Counts, int], PerQuery], theirs: object
) -> None:
    late = np.zeros((1, 12), bool)
    late[0, 10] = True
    assert ours(late, np.array([1]), 10).tolist() == [0.0]
    assert ours(late, np.array([1]), 11)[0] > 0
    assert ours(np.zeros((2, 0), bool), np.array([1, 2]), 10).tolist() == [0.0, 0.0]
    assert ours(np.zeros((0, 10), bool), np.zeros(0, np.int64), 10).size == 0
    assert ours(np.zeros((1, 10), bool), np.array([0]), 10).tolist() == [0.0]


def test_targets_outside_the_catalogue_stay_in_the_denominator() -> None:
    lists = padded([np.array([7, 3])], 10)
    hit, counts = hits(lists, [np.array([3, 999, -1])])
    assert counts.tolist() == [3]
    assert recall(hit, counts, 10)[0] == pytest.approx(1 / 3)
    ideal = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert ndcg(hit, counts, 10)[0] == pytest.approx((1 / np.log2(3)) / ideal)


def test_a_target_named_twice_counts_once() -> None:
    hit, counts = hits(padded([np.array([3])], 5), [np.array([3, 3])])
    assert counts.tolist() == [1]
    assert recall(hit, counts, 5).tolist() == [1.0]


def test_a_hit_belongs_to_its_own_query_and_never_to_padding() -> None:
    hit, _ = hits(padded([np.array([1, 2]), np.array([2])], 3), [np.array([2]), np.array([1, -1])])
    assert hit.tolist() == [[False, True, False], [False, False, False]]


def test_found_looks_at_whole_lists_target_by_target() -> None:
    lists = [np.array([4, 5, 6]), np.array([], np.int64), np.array([5])]
    assert found(lists, [np.array([6, 9]), np.array([4]), np.array([5, -1])]).tolist() == [
        True,
        False,
        False,
        True,
        False,
    ]


def test_coverage_counts_each_shown_item_of_the_catalogue_once() -> None:
    lists = padded([np.array([0, 1, 2]), np.array([1, 2]), np.array([3])], 3)
    assert coverage(lists, 8, 3) == 0.5
    assert coverage(lists, 8, 1) == 3 / 8
    assert coverage(lists, 0, 3) == 0.0


def test_novelty_is_self_information_in_bits_with_add_one_smoothing() -> None:
    lists = padded([np.array([0]), np.array([0, 1]), np.array([], np.int64)], 3)
    # Counts 5 and 1 plus one each, of 6 + 2: three quarters and one quarter.
    result = novelty(lists, np.array([5.0, 1.0]), 3)
    assert result[0] == pytest.approx(-np.log2(0.75))
    assert result[1] == pytest.approx((-np.log2(0.75) + 2.0) / 2)
    assert np.isnan(result[2])


def test_novelty_of_an_item_never_seen_is_finite_and_highest() -> None:
    result = novelty(padded([np.array([9]), np.array([1])], 1), np.array([5.0, 1.0]), 1)
    assert np.isfinite(result).all()
    assert result[0] > result[1]


def test_diversity_equals_pairs_counted_one_by_one() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(30, 6)).astype(np.float32)
    lists = padded([rng.permutation(30)[:n] for n in (10, 4, 2)], 10)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    by_hand = []
    for row in lists:
        listed = row[row >= 0]
        pairs = [1 - unit[i] @ unit[j] for a, i in enumerate(listed) for j in listed[a + 1 :]]
        by_hand.append(np.mean(pairs))
    np.testing.assert_allclose(diversity(lists, vectors, 10), by_hand, atol=1e-6)


def test_diversity_leaves_out_items_without_a_vector_and_needs_two() -> None:
    vectors = np.array([[1, 0], [0, 2], [0, 0], [np.nan, 1]], np.float32)
    lists = padded([np.array([0, 1, 2, 3, 77]), np.array([0, 2]), np.array([], np.int64)], 5)
    result = diversity(lists, vectors, 5)
    assert result[0] == pytest.approx(1.0)
    assert np.isnan(result[1:]).all()


def test_categories_are_counted_once_and_missing_ones_not_at_all() -> None:
    lists = padded([np.array([0, 1, 2, 3]), np.array([3, 50]), np.array([], np.int64)], 4)
    assert distinct_categories(lists, np.array([7, 7, 2, -1]), 4).tolist() == [2.0, 0.0, 0.0]
    assert distinct_categories(lists, np.array([7, 7, 2, -1]), 2).tolist() == [1.0, 0.0, 0.0]

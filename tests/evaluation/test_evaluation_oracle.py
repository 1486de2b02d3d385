"""The ceiling of the candidates, by hand and by law."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from slatewise.domain.columns import Interactions
from slatewise.domain.holdout import last_of_each_user
from slatewise.evaluation.cases import last_item_cases
from slatewise.evaluation.compared_index import ComparedIndex
from slatewise.evaluation.decompose import decompose
from slatewise.evaluation.lists import hits
from slatewise.evaluation.metrics.ndcg import ndcg
from slatewise.evaluation.oracle import oracle_lists, share_of_the_way
from slatewise.evaluation.popular_source import PopularSource
from slatewise.evaluation.replay import Replayed, StageLists, replay
from slatewise.ports.stages import Source
from slatewise.testing.small_shop import MatrixIndex, SmallShop, item_vectors
from slatewise.testing.stages import SourceContract, resolved


def rows(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def replayed(lists: list[StageLists], line: Any) -> Replayed:
    """Three users whose last item is 9, whatever the line says."""
    n = len(lists)
    past = Interactions(
        np.arange(3 * n),
        np.repeat(np.arange(n), 3),
        np.tile([1, 2, 9], n),
        np.zeros(3 * n, int),
        np.arange(3.0 * n),
        np.ones(3 * n, "f4"),
    )
    cases = last_item_cases(past, {0}, lambda users: [f"user {row}" for row in users])
    return replace(replay(cases, line.recommend, line.ids, ("interaction",)), lists=tuple(lists))


def test_a_perfect_ranker_puts_the_wanted_candidates_first_and_can_do_no_more() -> None:
    candidates = [rows(5, 9, 4, 7), rows(1, 2), rows(), rows(3, 8)]
    targets = [rows(7, 5, 99), rows(3), rows(1), rows(8, 8)]
    lists = oracle_lists(candidates, targets, 3)
    assert lists.tolist() == [[5, 7, -1], [-1, -1, -1], [-1, -1, -1], [8, -1, -1]]
    second, third = 1 / np.log2(3), 1 / np.log2(4)
    by_hand = [(1 + second) / (1 + second + third), 0.0, 0.0, 1.0]
    assert ndcg(*hits(lists, targets), 3) == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("start", "reached", "ceiling", "share"), [(0.1, 0.1, 0.5, 0.0), (0.1, 0.5, 0.5, 1.0), (0.2, 0.1, 0.4, -0.5)]
)
def test_the_way_is_measured_from_the_order_of_retrieval(
    start: float, reached: float, ceiling: float, share: float
) -> None:
    assert share_of_the_way(start, reached, ceiling) == pytest.approx(share)


def test_without_a_way_to_go_there_is_no_share() -> None:
    assert np.isnan(share_of_the_way(0.3, 0.3, 0.3))


def test_the_oracle_of_three_slates_is_what_one_counts_by_hand(line: Any) -> None:
    # The wanted item 9: second and kept second; retrieved and cut from the candidates; third, and brought to the top.
    lists = [
        StageLists(rows(3, 9, 4), rows(3, 9, 4), rows(4, 9, 3), rows(4, 9)),
        StageLists(rows(3, 4, 9), rows(3, 4), rows(3, 4), rows(3, 4)),
        StageLists(rows(3, 4, 9), rows(3, 4, 9), rows(9, 3, 4), rows(9, 3)),
    ]
    oracle = decompose(replayed(lists, line), None, np.random.default_rng(0)).oracle
    second, third = 1 / np.log2(3), 1 / np.log2(4)
    assert (oracle.ndcg, oracle.hit_rate) == pytest.approx((2 / 3, 2 / 3))
    assert oracle.retrieval_ndcg == pytest.approx((second + third) / 3)
    assert oracle.ranked_ndcg == pytest.approx((second + 1) / 3)
    assert oracle.ranker_share == pytest.approx((1 - third) / (2 - second - third))


def test_no_slate_beats_the_oracle_and_with_one_wanted_item_it_is_the_recall(
    line: Any, checkerboard: Interactions
) -> None:
    cases = last_item_cases(checkerboard, {0}, lambda users: [f"user {row}" for row in users])
    line.fold(checkerboard.take(~last_of_each_user(checkerboard)))
    done = replay(cases, line.recommend, line.ids, ("interaction",))
    rng = np.random.default_rng(4)
    thinned = [replace(at, ranked=rng.permutation(at.ranked)[:25]) for at in done.lists]
    done = replace(done, lists=tuple(replace(at, final=at.ranked[:10]) for at in thinned))
    targets = [case.targets for case in done.cases]
    ceiling = ndcg(*hits(oracle_lists([at.ranked for at in thinned], targets, 10), targets), 10)
    final = ndcg(*hits(done.stage("final", 10), targets), 10)
    assert (ceiling >= final).all()
    assert (ceiling > final).any()
    held = [bool(np.isin(case.targets, at.ranked).any()) for case, at in zip(done.cases, thinned, strict=True)]
    assert decompose(done, None, rng).oracle.ndcg == pytest.approx(np.mean(held))


class Forgetful(MatrixIndex):
    """An index that never finds rows divisible by *blind*."""

    def __init__(self, blind: int) -> None:
        super().__init__()
        self.blind = blind

    def search(self, query: np.ndarray, k: int, allow: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        found, scores = super().search(query, len(self), allow)
        kept = found % self.blind != 0
        return found[kept][:k], scores[kept][:k]


def index(kind: MatrixIndex, n: int = 50) -> MatrixIndex:
    kind.upsert(np.arange(n), item_vectors(np.arange(n)))
    return kind


def test_a_compared_index_answers_exactly_and_counts_what_the_other_misses() -> None:
    exact = index(MatrixIndex())
    compared = ComparedIndex(index(Forgetful(3)), exact)
    query = item_vectors(rows(4))[0]
    found, _ = compared.search(query, 20)
    right, _ = exact.search(query, 20)
    assert found.tolist() == right.tolist()
    missed = int(np.count_nonzero(right % 3 == 0))
    (search,) = compared.searches
    assert (search.k, search.exact, search.found) == (20, 20, 20 - missed)
    assert 0 < search.share == (20 - missed) / 20 < 1


def test_an_exact_index_compared_with_itself_finds_everything_under_any_mask() -> None:
    compared = ComparedIndex(index(MatrixIndex()), index(MatrixIndex()))
    for allow in (None, np.arange(50) % 4 == 1, np.zeros(50, bool)):
        compared.search(item_vectors(rows(7))[0], 10, allow)
    assert [search.share for search in compared.searches] == [1.0, 1.0, 1.0]


def test_which_of_two_equals_is_found_is_no_matter() -> None:
    one, other = MatrixIndex(), MatrixIndex()
    same = np.tile(item_vectors(rows(1)), (2, 1))
    one.upsert(rows(10, 11), same)
    other.upsert(rows(11, 10), same)
    compared = ComparedIndex(one, other)
    assert compared.search(same[0], 1)[0].tolist() == [11]
    assert one.search(same[0], 1)[0].tolist() == [10]
    assert compared.searches[0].share == 1.0


class TestPopularSource(SourceContract):
    def make(self, shop: SmallShop) -> Source:
        return PopularSource(np.arange(40)[::-1].astype(np.float32), 5)


def test_popular_candidates_come_by_count_and_ties_by_row() -> None:
    source = PopularSource(np.array([1.0, 5.0, 5.0, 0.0, 9.0]), 3)
    assert source.retrieve(resolved(), 3).row.tolist() == [4, 1, 2]
    assert source.retrieve(resolved(allow=np.array([1, 1, 0, 1, 1], bool)), 3).row.tolist() == [4, 1, 0]

import numpy as np

from slatewise.domain.settings import IndexSettings
from slatewise.index.exact import ExactIndex
from slatewise.testing.vector_index import DIM, VectorIndexContract, clustered


class TestExact(VectorIndexContract):
    settings = IndexSettings(kind="exact")
    floor = 1.0

    def build(self, dim: int = DIM) -> ExactIndex:
        return ExactIndex(dim)


def brute_force(vectors, query, k, allow):
    score = vectors.astype(np.float64) @ query.astype(np.float64)
    order = [row for row in np.argsort(-score, kind="stable") if row < allow.size and allow[row]]
    return order[:k]


def test_the_answer_is_that_of_a_loop_over_all_rows():
    vectors = clustered(3_000, 1)
    index = ExactIndex(DIM)
    index.upsert(np.arange(3_000), vectors)
    rng = np.random.default_rng(2)
    for share in (1.0, 0.6, 0.3, 0.01):
        allow = rng.random(2_900) < share
        query = clustered(1, 3)[0]
        assert index.search(query, 25, allow)[0].tolist() == brute_force(vectors, query, 25, allow)


def test_vectors_of_any_length_are_compared_by_inner_product():
    vectors = clustered(500, 4) * np.random.default_rng(5).lognormal(size=(500, 1)).astype(np.float32) * 10
    index = ExactIndex(DIM)
    index.upsert(np.arange(500), vectors)
    query = 3 * clustered(1, 6)[0]
    rows, scores = index.search(query, 500)
    assert rows.tolist() == brute_force(vectors, query, 500, np.ones(500, bool))
    np.testing.assert_allclose(scores, vectors[rows] @ query, rtol=1e-4, atol=1e-5)


def test_equal_scores_come_in_the_order_of_arrival():
    index = ExactIndex(2)
    index.upsert(np.array([9, 4, 6]), np.ones((3, 2), np.float32))
    index.upsert(np.array([9]), np.ones((1, 2), np.float32))
    assert index.search(np.ones(2, np.float32), 3)[0].tolist() == [4, 6, 9]


def test_a_score_does_not_depend_on_which_rows_are_allowed():
    vectors = clustered(2_000, 7)
    index = ExactIndex(DIM)
    index.upsert(np.arange(2_000), vectors)
    query = clustered(1, 8)[0]
    rows, scores = index.search(query, 2_000)
    everywhere = np.empty(2_000, np.float32)
    everywhere[rows] = scores
    for row in (0, 777, 1_999):
        only = np.zeros(2_000, bool)
        only[row] = True
        assert index.search(query, 1, only)[1][0] == everywhere[row]


def test_a_score_that_overflows_does_not_win():
    index = ExactIndex(1)
    index.upsert(np.array([0, 1]), np.array([[3e38], [1.0]], np.float32))
    rows, _ = index.search(np.array([3e38], np.float32), 2)
    assert rows.tolist() == [1, 0]

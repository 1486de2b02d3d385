import numpy as np
import pytest
import scipy.sparse as sp

from slatewise.domain.history import History
from slatewise.domain.query import ANONYMOUS, Query, Resolved
from slatewise.index.exact import ExactIndex
from slatewise.models.item_item import strongest
from slatewise.retrieval.blended import Blend, BlendedSource

N = 60


@pytest.fixture
def parts() -> tuple[np.ndarray, object, ExactIndex]:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((N, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = ExactIndex(8)
    index.upsert(np.arange(N), vectors)
    return vectors, strongest(sp.random(N, N, 0.2, "csr", rng=rng, dtype=np.float32), 5, 0.8, 10), index


def asked(vector: np.ndarray | None, history: list[int], allow: np.ndarray | None = None) -> Resolved:
    past = History(np.array(history, np.int64), np.zeros(len(history), np.int64), np.arange(len(history), dtype=float))
    from dataclasses import replace

    given = None if vector is None else vector[None]
    user = replace(ANONYMOUS, history=past)
    return Resolved(
        query=Query(request_id="q", at=0.0), user=user, vector=given, blocked=np.empty(0, np.int64), allow=allow
    )


@pytest.mark.parametrize("weight", [0.0, 0.3, 5.0])
def test_candidates_come_in_the_order_of_the_whole_catalogue_under_both_scores(parts, weight: float) -> None:
    vectors, lists, index = parts
    history = [3, 17, 4]
    whole = vectors @ vectors[9] + weight * lists.at(np.array(history), np.arange(N))
    found = BlendedSource(index, Blend(lists, weight, lambda rows: vectors[rows]), 100).retrieve(
        asked(vectors[9], history), N
    )
    np.testing.assert_array_equal(found.row[:40], np.argsort(-whole, kind="stable")[:40])
    np.testing.assert_allclose(found.score, np.sort(whole)[::-1], rtol=1e-4, atol=1e-5)


def test_each_candidate_says_who_found_it_and_none_comes_twice(parts) -> None:
    vectors, lists, index = parts
    found = BlendedSource(index, Blend(lists, 1.0, lambda rows: vectors[rows]), 10).retrieve(
        asked(vectors[9], [3, 17]), 10
    )
    near, _ = index.search(vectors[9], 10)
    assert np.unique(found.row).size == len(found) == 10
    for row, source in zip(found.row.tolist(), found.source.tolist(), strict=True):
        assert found.sources[source] == ("two_tower" if row in near else "neighbours")
    assert 1 in found.source


def test_without_a_vector_the_lists_offer_alone_and_without_a_history_the_vectors(parts) -> None:
    vectors, lists, index = parts
    source = BlendedSource(index, Blend(lists, 1.0, lambda rows: vectors[rows]), 10)
    listed, strength = lists.around(np.array([3]))
    only_lists = source.retrieve(asked(None, [3]), 10)
    np.testing.assert_array_equal(np.sort(only_lists.row), listed)
    np.testing.assert_allclose(np.sort(only_lists.score), np.sort(strength))
    only_vectors = source.retrieve(asked(vectors[9], []), 10)
    np.testing.assert_array_equal(only_vectors.row, index.search(vectors[9], 10)[0])
    assert len(source.retrieve(asked(None, []), 10)) == len(source.retrieve(asked(vectors[9], [3]), 0)) == 0


def test_rows_that_the_query_does_not_allow_are_not_offered(parts) -> None:
    vectors, lists, index = parts
    allow = np.arange(N) % 2 == 0
    source = BlendedSource(index, Blend(lists, 1.0, lambda rows: vectors[rows]), 10)
    assert (source.retrieve(asked(vectors[9], [3, 17], allow), 10).row % 2 == 0).all()

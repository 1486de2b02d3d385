import threading
from dataclasses import replace

import numpy as np
import pytest

from slatewise.domain.settings import IndexSettings
from slatewise.index import hnsw
from slatewise.index.hnsw import HnswIndex
from slatewise.index.load import load_index
from slatewise.testing.vector_index import DIM, SIZE, VectorIndexContract, clustered


class TestHnsw(VectorIndexContract):
    settings = IndexSettings(kind="hnsw", expansion_add=64)

    def build(self, dim: int = DIM) -> HnswIndex:
        return HnswIndex(dim, self.settings)


SETTINGS = TestHnsw.settings


def counting_scans(monkeypatch):
    """Count exact scans, to know which path a search took."""
    scans = []
    scan = hnsw.View.scan

    def counted(view, query, k, allow):
        scans.append(k)
        return scan(view, query, k, allow)

    monkeypatch.setattr(hnsw.View, "scan", counted)
    return scans


@pytest.fixture(scope="module")
def large():
    index = HnswIndex(DIM, SETTINGS)
    index.upsert(np.arange(SIZE), clustered(SIZE, 1))
    return index


def test_a_plain_search_and_a_wide_filter_use_the_graph(large, monkeypatch):
    scans = counting_scans(monkeypatch)
    large.search(clustered(1, 2)[0], 50)
    large.search(clustered(1, 2)[0], 20, np.random.default_rng(3).random(SIZE) < 0.7)
    assert scans == []


def test_a_narrow_filter_a_huge_k_and_an_unlucky_filter_are_scanned(large, monkeypatch):
    scans = counting_scans(monkeypatch)
    query = clustered(1, 4)[0]
    large.search(query, 20, np.random.default_rng(5).random(SIZE) < 0.02)
    large.search(query, 2_500)
    score = clustered(SIZE, 1) @ query
    large.search(query, 20, score < np.quantile(score, 0.7))
    assert scans == [20, 2_500, 20]


def test_new_rows_do_not_hide_better_old_ones():
    vectors, query = clustered(SIZE, 14), clustered(1, 15)[0]
    score = vectors @ query
    index = HnswIndex(DIM, SETTINGS)
    index.upsert(np.arange(SIZE), vectors)
    worst = np.flatnonzero(score < np.quantile(score, 0.01))
    index.upsert(np.arange(SIZE, SIZE + worst.size), vectors[worst])
    allow = np.append(score < np.quantile(score, 0.6), np.ones(worst.size, bool))
    _, found = index.search(query, 20, allow)
    np.testing.assert_allclose(found, np.sort(score[allow[:SIZE]])[::-1][:20], atol=1e-6)


def test_the_same_vectors_give_the_same_graph():
    vectors, queries = clustered(SIZE, 6), clustered(10, 7)
    first, second = HnswIndex(DIM, SETTINGS), HnswIndex(DIM, SETTINGS)
    for index in (first, second):
        index.upsert(np.arange(SIZE), vectors)
    for query in queries:
        np.testing.assert_array_equal(first.search(query, 60)[0], second.search(query, 60)[0])


def test_the_graph_is_renewed_in_the_background_and_takes_over_what_was_scanned():
    vectors = clustered(SIZE + 1_500, 8)
    index = HnswIndex(DIM, SETTINGS)
    index.upsert(np.arange(SIZE), vectors[:SIZE])
    before = index._state.graph
    index.upsert(np.arange(SIZE, SIZE + 1_500), vectors[SIZE:])
    for thread in threading.enumerate():
        if thread.name == "slatewise-index-renewal":
            thread.join()
    after = index._state.graph
    assert (before.births.size, after.births.size) == (SIZE, SIZE + 1_500)
    assert index.search(vectors[-1], 1)[0].tolist() == [SIZE + 1_499]


def test_a_renewal_during_writes_loses_none_of_them():
    index = HnswIndex(DIM, SETTINGS)
    vectors = clustered(6_000, 9)
    index.upsert(np.arange(2_000), vectors[:2_000])
    renewing = threading.Thread(target=lambda: [index.renew() for _ in range(20)])
    renewing.start()
    for row in range(2_000, 6_000, 40):
        index.upsert(np.arange(row, row + 40), vectors[row : row + 40])
        index.remove(np.array([row]))
    renewing.join()
    index.renew()
    alive = np.setdiff1d(np.arange(6_000), np.arange(2_000, 6_000, 40))
    assert len(index) == alive.size
    assert np.isin(index._state.view.live_columns()[2], index._state.graph.births).all()
    assert sorted(index.search(vectors[0], 6_000)[0]) == alive.tolist()


def test_a_graph_with_many_dead_vectors_is_built_anew():
    index = HnswIndex(DIM, SETTINGS)
    index.upsert(np.arange(SIZE), clustered(SIZE, 10))
    index.remove(np.arange(500))
    index.renew()
    assert index._state.graph.births.size == SIZE
    index.remove(np.arange(SIZE // 2))
    index.renew()
    assert index._state.graph.births.size == SIZE // 2


def test_what_a_walk_cannot_reach_is_found_all_the_same(tmp_path):
    # Islands: with so few links, most of these clusters cannot be reached from one another.
    settings = replace(SETTINGS, connectivity=2, expansion_add=2, expansion_search=2)
    vectors = clustered(8_000, 13, dim=48)
    index = HnswIndex(48, settings)
    index.upsert(np.arange(8_000), vectors)
    index.save(tmp_path)
    assert index._state.graph.unreached.size > 20
    for made in (index, load_index(tmp_path, settings)):
        assert all(made.search(vectors[row], 5)[0][0] == row for row in range(0, 8_000, 20))


def test_settings_decide_how_wide_the_graph_is_searched():
    vectors, queries = clustered(8_000, 11, dim=32), clustered(30, 12, dim=32)
    scores = {}
    for width in (1, 150):
        index = HnswIndex(32, replace(SETTINGS, expansion_search=width, connectivity=4))
        index.upsert(np.arange(8_000), vectors)
        scores[width] = sum(float(index.search(query, 5)[1].sum()) for query in queries)
    assert scores[150] > scores[1]

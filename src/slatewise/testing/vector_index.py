"""What every vector index must do. The exact index is the oracle; approximate ones must reach recall floors."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread
from typing import ClassVar

import numpy as np
import pytest

from slatewise.domain.errors import InputError
from slatewise.domain.ids import Mask, Rows, Vectors
from slatewise.domain.settings import IndexSettings
from slatewise.index.build import measure_recall
from slatewise.index.exact import ExactIndex
from slatewise.index.load import load_index
from slatewise.ports.index import VectorIndex

DIM = 16
SIZE = 12_000
"""Enough that an approximate index does not simply scan."""


def clustered(size: int, seed: int, dim: int = DIM) -> Vectors:
    """Return unit vectors around forty tastes, as item vectors lie; shape ``(size, dim)``."""
    taste = np.random.default_rng(99).normal(size=(40, dim))
    rng = np.random.default_rng(seed)
    vectors = taste[rng.integers(0, len(taste), size)] + 0.6 * rng.normal(size=(size, dim))
    unit: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def filtered_recall(index: VectorIndex, truth: VectorIndex, queries: Vectors, k: int, allow: Mask | None) -> float:
    """Return the mean share of the allowed true neighbours that *index* returns."""
    shares = []
    for query in queries:
        expected, _ = truth.search(query, k, allow)
        found, _ = index.search(query, k, allow)
        shares.append(np.isin(expected, found).mean() if expected.size else 1.0)
    return float(np.mean(shares))


class VectorIndexContract:
    """Subclass and set ``settings``; `build` must return an index of that kind, without rows."""

    settings: ClassVar[IndexSettings]
    floor: ClassVar[float] = 0.95

    def build(self, dim: int = DIM) -> VectorIndex:
        raise NotImplementedError  # a suite that inherits these tests says how

    def filled(self, vectors: Vectors, rows: Rows | None = None) -> VectorIndex:
        index = self.build(vectors.shape[1])
        index.upsert(np.arange(len(vectors)) if rows is None else rows, vectors)
        return index

    def test_an_empty_index_finds_nothing(self) -> None:
        index = self.build()
        rows, scores = index.search(clustered(1, 0)[0], 5)
        assert len(index) == 0
        assert (rows.size, scores.size) == (0, 0)
        assert rows.dtype == np.int64
        assert scores.dtype == np.float32

    def test_every_row_is_its_own_nearest_neighbour(self) -> None:
        vectors = clustered(200, 1)
        index = self.filled(vectors)
        assert [int(index.search(v, 1)[0][0]) for v in vectors] == list(range(200))

    def test_scores_are_inner_products_best_first(self) -> None:
        vectors, query = clustered(SIZE, 2), clustered(1, 3)[0]
        rows, scores = self.filled(vectors).search(query, 50)
        np.testing.assert_allclose(scores, vectors[rows] @ query, atol=1e-6)
        assert (scores[1:] <= scores[:-1]).all()
        assert np.unique(rows).size == rows.size == 50

    def test_k_is_a_limit(self) -> None:
        index = self.filled(clustered(7, 4))
        query = clustered(1, 5)[0]
        assert [index.search(query, k)[0].size for k in (-1, 0, 1, 7, 100)] == [0, 0, 1, 7, 7]

    def test_recall_reaches_its_floor(self) -> None:
        vectors = clustered(SIZE, 6)
        assert measure_recall(self.filled(vectors), np.arange(SIZE), vectors, clustered(40, 7), 100) >= self.floor

    @pytest.mark.parametrize("share", [0.5, 0.1, 0.01, 0.001])
    def test_a_filter_keeps_the_recall(self, share: float) -> None:
        vectors = clustered(SIZE, 8)
        allow = np.random.default_rng(9).random(SIZE) < share
        index, truth = self.filled(vectors), ExactIndex(DIM)
        truth.upsert(np.arange(SIZE), vectors)
        queries = clustered(20, 10)
        assert filtered_recall(index, truth, queries, 20, allow) >= 0.95
        for query in queries:
            rows, _ = index.search(query, 20, allow)
            assert allow[rows].all()
            assert rows.size == min(20, np.count_nonzero(allow))

    def test_rows_far_from_the_query_are_found_when_only_they_are_allowed(self) -> None:
        vectors, query = clustered(SIZE, 11), clustered(1, 12)[0]
        scores = vectors @ query
        allow = scores < np.median(scores)
        rows, found = self.filled(vectors).search(query, 20, allow)
        # Hundreds of allowed rows lie within a thousandth of the twentieth here.
        assert np.count_nonzero(found >= np.sort(scores[allow])[::-1][19] - 1e-6) >= 18
        np.testing.assert_allclose(found, scores[rows], atol=1e-6)
        assert allow[rows].all()

    def test_rows_beyond_the_mask_are_not_allowed(self) -> None:
        index = self.filled(clustered(10, 13))
        query = clustered(1, 14)[0]
        assert sorted(index.search(query, 10, np.ones(4, bool))[0]) == [0, 1, 2, 3]
        assert index.search(query, 10, np.zeros(0, bool))[0].size == 0
        assert index.search(query, 10, np.ones(50, bool))[0].size == 10

    def test_rows_need_not_be_dense(self) -> None:
        rows = np.array([900, 3, 44])
        index = self.filled(clustered(3, 15), rows)
        assert sorted(index.search(clustered(1, 16)[0], 9)[0]) == [3, 44, 900]

    def test_an_upsert_replaces_and_the_next_search_sees_it(self) -> None:
        vectors = clustered(SIZE, 17)
        index = self.filled(vectors)
        index.upsert(np.array([5]), -vectors[5:6])
        assert len(index) == SIZE
        assert 5 not in index.search(vectors[5], 50)[0]
        rows, scores = index.search(-vectors[5], 1)
        assert rows.tolist() == [5]
        assert scores[0] == pytest.approx(1.0, abs=1e-5)

    def test_of_a_row_given_twice_the_last_vector_stays(self) -> None:
        index = self.build(2)
        index.upsert(np.array([4, 7, 4]), np.array([[1, 0], [0, 1], [-1, 0]], np.float32))
        assert len(index) == 2
        rows, scores = index.search(np.array([1, 0], np.float32), 2)
        assert dict(zip(rows.tolist(), scores.tolist(), strict=True)) == {7: 0.0, 4: -1.0}

    def test_a_removed_row_never_returns(self) -> None:
        vectors = clustered(SIZE, 18)
        index = self.filled(vectors)
        gone = np.arange(0, SIZE, 2)
        index.remove(gone)
        assert len(index) == SIZE - gone.size
        for query in clustered(20, 19):
            assert (index.search(query, 100)[0] % 2 == 1).all()
        index.remove(np.array([0, 1, 1, -5, SIZE + 9]))
        assert len(index) == SIZE - gone.size - 1
        index.upsert(np.array([0]), vectors[:1])
        assert index.search(vectors[0], 1)[0].tolist() == [0]

    def test_churn_keeps_recall_and_size(self) -> None:
        index, truth = self.build(), ExactIndex(DIM)
        rows = np.arange(SIZE)
        for seed in (20, 21):
            vectors = clustered(SIZE, seed)
            for part in np.array_split(np.random.default_rng(seed).permutation(rows), 8):
                index.upsert(part, vectors[part])
                truth.upsert(part, vectors[part])
        assert len(index) == SIZE
        queries = clustered(20, 22)
        assert filtered_recall(index, truth, queries, 100, None) >= self.floor
        found = [row in index.search(vectors[row], 5)[0] for row in range(0, SIZE, 8)]
        assert np.mean(found) >= 0.998, "replaced rows must stay within reach, not only be right on average"
        for part in np.array_split(rows[::2], 8):
            index.remove(part)
            truth.remove(part)
        assert len(index) == SIZE // 2
        assert filtered_recall(index, truth, queries, 100, None) >= self.floor

    def test_an_index_can_be_emptied_and_filled_again(self) -> None:
        vectors = clustered(300, 23)
        index = self.filled(vectors)
        index.remove(np.arange(300))
        assert len(index) == 0
        assert index.search(vectors[0], 5)[0].size == 0
        index.upsert(np.arange(300), vectors[::-1])
        assert index.search(vectors[0], 1)[0].tolist() == [299]

    @pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
    def test_a_query_that_is_not_finite_is_refused(self, broken: float) -> None:
        query = clustered(1, 24)[0]
        query[3] = broken
        with pytest.raises(InputError, match="vector"):
            self.filled(clustered(5, 25)).search(query, 1)

    def test_another_width_is_refused(self) -> None:
        index = self.filled(clustered(5, 26))
        for query in (np.zeros(DIM + 1, np.float32), np.zeros((1, DIM), np.float32), np.float32(1)):
            with pytest.raises(InputError, match="vector"):
                index.search(np.asarray(query), 1)
        with pytest.raises(InputError, match="vectors"):
            index.upsert(np.array([1]), np.zeros((1, DIM + 1), np.float32))
        with pytest.raises(InputError, match="vectors"):
            index.upsert(np.array([1, 2]), np.zeros((1, DIM), np.float32))

    def test_a_refused_upsert_changes_nothing(self) -> None:
        vectors = clustered(5, 27)
        index = self.filled(vectors)
        broken = clustered(2, 28)
        broken[1, 0] = np.nan
        with pytest.raises(InputError, match="row 9"):
            index.upsert(np.array([0, 9]), broken)
        with pytest.raises(InputError, match="rows"):
            index.upsert(np.array([-1]), vectors[:1])
        assert len(index) == 5
        assert index.search(vectors[0], 1)[0].tolist() == [0]

    def test_the_caller_may_reuse_its_arrays(self) -> None:
        vectors = clustered(5, 29)
        mine, rows = vectors.copy(), np.arange(5)
        index = self.filled(mine, rows)
        mine[:], rows[:] = 0.0, 99
        assert index.search(vectors[3], 1)[0].tolist() == [3]
        found, scores = index.search(vectors[3], 5)
        found[:], scores[:] = -1, 0.0
        assert index.search(vectors[3], 1)[0].tolist() == [3]

    def test_a_saved_index_answers_the_same(self, tmp_path: Path) -> None:
        vectors = clustered(SIZE, 30)
        index = self.filled(vectors)
        index.upsert(np.array([3, SIZE]), clustered(2, 31))
        index.remove(np.array([8]))
        index.save(tmp_path)
        loaded = load_index(tmp_path, self.settings)
        assert (loaded.kind, loaded.is_exact, loaded.dim, len(loaded)) == (index.kind, index.is_exact, DIM, SIZE)
        for query in clustered(20, 32):
            for mine, theirs in zip(index.search(query, 30), loaded.search(query, 30), strict=True):
                np.testing.assert_array_equal(mine, theirs)
        loaded.upsert(np.array([8]), vectors[8:9])
        assert loaded.search(vectors[8], 1)[0].tolist() == [8]

    def test_readers_miss_no_row_and_meet_no_removed_one_while_writers_write(self) -> None:
        vectors = clustered(SIZE, 33)
        index = self.filled(vectors)
        steady = np.arange(0, SIZE, 50)
        doomed = np.arange(1, SIZE, 50)
        index.remove(doomed)
        stop, faults = Event(), []

        def write() -> None:
            rng = np.random.default_rng(34)
            extra = SIZE
            while not stop.is_set():
                # Replaced by the same vector: whatever moment a reader sees, the answer is the same.
                again = rng.choice(steady, 100, replace=False)
                index.upsert(again, vectors[again])
                index.upsert(np.arange(extra, extra + 200), -vectors[:200])
                index.remove(np.arange(extra, extra + 100))
                extra += 200

        def read(seed: int) -> None:
            rng = np.random.default_rng(seed)
            while not stop.is_set():
                row = int(rng.choice(steady))
                rows, scores = index.search(vectors[row], 10)
                if row not in rows or np.isin(rows, doomed).any() or scores[0] < 0.999 or rows.size != 10:
                    faults.append((row, rows, scores))

        threads = [Thread(target=write), Thread(target=read, args=(35,)), Thread(target=read, args=(36,))]
        for thread in threads:
            thread.start()
        stop.wait(1.0)
        stop.set()
        for thread in threads:
            thread.join()
        assert faults == []

    def test_a_batch_is_seen_whole_or_not_at_all(self) -> None:
        side = np.zeros((2, DIM), np.float32)
        side[0, 0], side[1, 1] = 1.0, 1.0
        index = self.filled(np.repeat(side[:1], 20, axis=0))
        stop, faults = Event(), []

        def write() -> None:
            turn = 0
            while not stop.is_set():
                turn = 1 - turn
                index.upsert(np.arange(20), np.repeat(side[turn : turn + 1], 20, axis=0))

        def read() -> None:
            while not stop.is_set():
                _, scores = index.search(side[0], 20)
                if scores.size != 20 or np.unique(scores).size != 1:
                    faults.append(scores)

        threads = [Thread(target=write), Thread(target=read)]
        for thread in threads:
            thread.start()
        stop.wait(0.5)
        stop.set()
        for thread in threads:
            thread.join()
        assert faults == []

from collections.abc import Iterator
from threading import Event, Thread
from threading import enumerate as enumerate_threads
from typing import ClassVar

import numpy as np
import pytest

from slatewise.domain.errors import BundleError, InputError
from slatewise.domain.settings import IndexSettings
from slatewise.index import ivf, kernel_numpy, lists, segment
from slatewise.index.build import build_index, measure_recall, why_index
from slatewise.index.exact import ExactIndex
from slatewise.index.ivf import IvfIndex
from slatewise.index.load import load_index
from slatewise.index.plan import Plan
from slatewise.ports.index import VectorIndex
from slatewise.testing.vector_index import DIM, VectorIndexContract, clustered, filtered_recall

IVF = IndexSettings(kind="ivf")


class TestIvf(VectorIndexContract):
    settings: ClassVar[IndexSettings] = IVF

    def build(self, dim: int = DIM) -> VectorIndex:
        return IvfIndex(dim, self.settings)


class TestIvfWithManyLists(VectorIndexContract):
    """So many lists that a search scans a part of them only."""

    settings: ClassVar[IndexSettings] = IndexSettings(kind="ivf", lists=256)

    def build(self, dim: int = DIM) -> VectorIndex:
        return IvfIndex(dim, self.settings)


def finish_renewals() -> None:
    """Wait for renewals of earlier tests: they must not meet another kernel half-way."""
    for thread in enumerate_threads():
        if thread.name == "slatewise-index-renewal":
            thread.join(10)


class TestIvfWithoutCompiler(VectorIndexContract):
    settings: ClassVar[IndexSettings] = IVF

    @pytest.fixture(autouse=True)
    def numpy_kernel(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        finish_renewals()
        for module in (segment, lists, ivf):
            monkeypatch.setattr(module, "kernel", kernel_numpy)
        yield
        finish_renewals()

    def build(self, dim: int = DIM) -> VectorIndex:
        return IvfIndex(dim, self.settings)


def long_and_short(size: int, seed: int) -> np.ndarray:
    """Vectors whose lengths differ, as trained ones do."""
    return clustered(size, seed) * np.random.default_rng(seed).lognormal(0, 0.3, (size, 1)).astype(np.float32)


@pytest.mark.parametrize("recall", [0.9, 0.98])
def test_probes_are_chosen_for_the_recall_that_settings_ask_for(recall):
    vectors, queries = long_and_short(40_000, 1), clustered(400, 2)
    settings = IndexSettings(kind="ivf", lists=256, recall=recall)
    index = build_index(np.arange(len(vectors)), vectors, settings, queries[:200])
    assert isinstance(index, IvfIndex)
    found = measure_recall(index, np.arange(len(vectors)), vectors, queries[200:])
    assert recall - 0.01 <= found
    assert index.plan.probes < 256, "a scan of everything needs no choice"
    probes, recalls = zip(*index.plan.curve, strict=True)
    assert list(probes) == sorted(probes)
    assert recalls[-1] >= recall
    fewest = next(many for many, one in index.plan.curve if one >= recall)
    why = why_index(index, settings)
    assert (why["lists"], why["probes"], why["target"]) == (256, fewest, recall)
    assert fewest < 1.3 * max(many for many, one in index.plan.curve if one < recall)


def test_a_wanted_recall_costs_more_probes():
    vectors, queries = long_and_short(40_000, 1), clustered(200, 2)
    asked = [
        build_index(np.arange(40_000), vectors, IndexSettings(kind="ivf", lists=256, recall=recall), queries)
        for recall in (0.8, 0.9, 0.99)
    ]
    probes = [index.plan.probes for index in asked if isinstance(index, IvfIndex)]
    assert probes == sorted(set(probes))


def test_settings_may_say_lists_and_probes():
    vectors = long_and_short(5_000, 3)
    index = build_index(np.arange(5_000), vectors, IndexSettings(kind="ivf", lists=64, probes=5), clustered(50, 4))
    assert isinstance(index, IvfIndex)
    assert (index.lists, index.plan) == (64, Plan(5))


def test_the_same_vectors_make_the_same_index():
    vectors, queries = long_and_short(30_000, 5), clustered(60, 6)
    one, two = (build_index(np.arange(30_000), vectors, IndexSettings(kind="ivf", lists=128), queries) for _ in "ab")
    for query in queries:
        for mine, theirs in zip(one.search(query, 50), two.search(query, 50), strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("share", [0.5, 0.1, 0.02, 0.01, 0.001])
def test_a_filter_keeps_the_recall_of_a_search_that_scans_few_lists(share):
    vectors, queries = long_and_short(60_000, 7), clustered(300, 8)
    rows = np.arange(len(vectors))
    index = build_index(rows, vectors, IndexSettings(kind="ivf", lists=512, recall=0.97), queries[:200])
    truth = ExactIndex(DIM)
    truth.upsert(rows, vectors)
    allow = np.random.default_rng(9).random(len(vectors)) < share
    assert filtered_recall(index, truth, queries[200:], 100, allow) >= 0.95


def test_a_filter_that_dislikes_what_is_near_is_searched_further():
    vectors = long_and_short(60_000, 10)
    rows = np.arange(len(vectors))
    index = build_index(rows, vectors, IndexSettings(kind="ivf", lists=512, recall=0.95), clustered(100, 12))
    kinds = clustered(60, 99)
    kind = (vectors @ kinds.T).argmax(1)
    truth = ExactIndex(DIM)
    truth.upsert(rows, vectors)
    shares = []
    for query in clustered(30, 11):
        allow = np.isin(kind, np.argsort(kinds @ query)[:30])
        shares.append(filtered_recall(index, truth, query[None], 100, allow))
    assert np.mean(shares) >= 0.9


def test_recall_after_replacing_everything_and_deleting_half_is_that_of_a_fresh_build():
    size, settings = 20_000, IndexSettings(kind="ivf", lists=128)
    queries = clustered(60, 13)
    index = build_index(np.arange(size), long_and_short(size, 14), settings, queries)
    # Elsewhere: the old centroids fit badly.
    later = np.roll(long_and_short(size, 15), 5, axis=1)
    for part in np.array_split(np.random.default_rng(16).permutation(size), 40):
        index.upsert(part, later[part])
    elsewhere = np.roll(queries, 5, axis=1)
    for query in np.repeat(elsewhere, 16, axis=0):
        index.search(query, 100)
    elsewhere = np.roll(queries, 5, axis=1)
    for query in np.repeat(elsewhere, 16, axis=0):
        index.search(query, 100)
    kept = np.arange(0, size, 2)
    index.remove(np.arange(1, size, 2))
    assert isinstance(index, IvfIndex)
    index.renew()
    fresh = build_index(kept, later[kept], settings, elsewhere)
    assert len(index) == len(fresh) == kept.size
    judges = np.roll(clustered(60, 17), 5, axis=1)
    mine, right = (measure_recall(one, kept, later[kept], judges) for one in (index, fresh))
    assert mine >= 0.99 * right


def test_more_than_fits_beside_the_lists_is_taken_in_at_once():
    index = IvfIndex(DIM, IVF)
    vectors = clustered(50_000, 18)
    index.upsert(np.arange(50_000), vectors)
    again = -vectors[:40_000]
    index.upsert(np.arange(40_000), again)
    assert len(index) == 50_000
    assert index.search(-vectors[3], 1)[0].tolist() == [3]
    assert index.search(vectors[45_000], 1)[0].tolist() == [45_000]
    rows, held = index.columns()
    assert sorted(rows) == list(range(50_000))
    np.testing.assert_array_equal(held[np.argsort(rows)], np.concatenate((again, vectors[40_000:])))


def test_what_is_written_while_the_lists_are_renewed_is_kept(monkeypatch):
    index = IvfIndex(DIM, IVF)
    vectors = clustered(6_000, 19)
    index.upsert(np.arange(5_000), vectors[:5_000])
    index.renew()
    index.upsert(np.array([4]), vectors[4:5])
    begun, go_on = Event(), Event()
    made = index._made

    def slowly(*args):
        begun.set()
        result = made(*args)
        go_on.wait(10)
        return result

    monkeypatch.setattr(index, "_made", slowly)
    renewal = Thread(target=index.renew)
    renewal.start()
    assert begun.wait(10)
    index.upsert(np.array([1, 5_500]), vectors[[5_501, 5_500]])
    index.remove(np.array([2, 3]))
    index.upsert(np.array([3]), -vectors[3:4])
    index.upsert(np.array([5_600]), vectors[5_600:5_601])
    index.remove(np.array([5_600]))
    expected = {row: vectors[row] for row in range(5_000)}
    expected |= {1: vectors[5_501], 5_500: vectors[5_500], 3: -vectors[3]}
    del expected[2]
    go_on.set()
    renewal.join(10)
    for _ in "ab":
        assert len(index) == len(expected)
        rows, held = index.columns()
        assert sorted(rows.tolist()) == sorted(expected)
        np.testing.assert_array_equal(held, np.stack([expected[row] for row in rows.tolist()]))
        for row in (1, 3, 5_500, 4):
            assert index.search(expected[row], 1)[0].tolist() == [row]
            only = np.zeros(6_000, bool)
            only[row] = True
            assert index.search(expected[row], 5, only)[0].tolist() == [row]
        assert 2 not in index.search(vectors[2], 50)[0]
        monkeypatch.setattr(index, "_made", made)
        index.renew()


def test_a_reader_of_an_earlier_moment_finds_what_was_replaced_since():
    index = IvfIndex(DIM, IVF)
    vectors = clustered(3, 20)
    index.upsert(np.array([0, 1]), vectors[:2])
    before = index._state
    for vector in (vectors[2], -vectors[2], vectors[1]):
        index.upsert(np.array([0]), vector[None])
    only = np.array([True, False])
    for probes in (1, None):
        rows, scores = index._searched(before, vectors[0], 1, only, 1, probes)
        assert rows.tolist() == [0]
        assert scores[0] == pytest.approx(1.0, abs=1e-5)
    assert index.search(vectors[1], 1, only)[1][0] == pytest.approx(1.0, abs=1e-5)


def test_an_opened_index_maps_its_files_and_takes_writes_without_touching_them(tmp_path):
    vectors = clustered(5_000, 21)
    build_index(np.arange(5_000), vectors, IVF).save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    one, two = load_index(tmp_path, IVF), load_index(tmp_path, IVF)
    assert isinstance(one, IvfIndex)
    held: np.ndarray | None = one._state.base.codes
    while held is not None and not isinstance(held, np.memmap):
        held = held.base if isinstance(held.base, np.ndarray) else None
    assert isinstance(held, np.memmap)
    one.upsert(np.array([7]), -vectors[7:8])
    one.remove(np.array([8]))
    one.renew()
    assert two.search(vectors[7], 1)[0].tolist() == [7]
    assert 8 in two.search(vectors[8], 1)[0]
    assert one.search(-vectors[7], 1)[0].tolist() == [7]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["codes", "scales", "vectors", "rows", "centroids", "means", "spread", "offsets"])
def test_a_missing_or_damaged_file_is_named(tmp_path, name):
    build_index(np.arange(600), clustered(600, 22), IVF).save(tmp_path)
    path = tmp_path / f"{name}.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BundleError, match=name):
        load_index(tmp_path, IVF)
    np.save(path, np.zeros(3, np.float16))
    with pytest.raises(BundleError, match=name):
        load_index(tmp_path, IVF)
    path.unlink()
    with pytest.raises(BundleError, match=name):
        load_index(tmp_path, IVF)


def test_rows_given_twice_or_lists_that_fall_are_damage(tmp_path):
    build_index(np.arange(600), clustered(600, 23), IndexSettings(kind="ivf", lists=8)).save(tmp_path)
    rows, offsets = (np.load(tmp_path / f"{name}.npy") for name in ("rows", "offsets"))
    twice = rows.copy()
    twice[np.flatnonzero(rows >= 0)[1]] = rows[np.flatnonzero(rows >= 0)[0]]
    np.save(tmp_path / "rows.npy", twice)
    with pytest.raises(BundleError, match="rows"):
        load_index(tmp_path, IVF)
    np.save(tmp_path / "rows.npy", rows)
    offsets[2] = offsets[-1] + 1
    np.save(tmp_path / "offsets.npy", offsets)
    with pytest.raises(BundleError, match="offsets"):
        load_index(tmp_path, IVF)


@pytest.mark.parametrize("kind", ["exact", "hnsw", "ivf"])
@pytest.mark.parametrize("wanted", ["exact", "hnsw", "ivf"])
def test_any_kind_opens_as_any_other(tmp_path, kind, wanted):
    vectors = clustered(500, 24)
    build_index(np.arange(500), vectors, IndexSettings(kind=kind)).save(tmp_path)
    index = load_index(tmp_path, IndexSettings(kind=wanted))
    assert (index.kind, len(index)) == (wanted, 500)
    assert index.search(vectors[7], 1)[0].tolist() == [7]


def test_a_plan_goes_further_the_less_is_allowed():
    plan = Plan(10, ((0.5, 20), (0.1, 40)))
    asked = [plan.probes_for(permitted, 1_000_000) for permitted in (1_000_000, 999_999, 500_000, 250_000, 100_000)]
    assert asked[0] == asked[1] == 10
    assert asked[2] == 20
    assert 20 < (asked[3] or 0) < 40
    assert asked[4] == 40
    assert (plan.probes_for(50_000, 1_000_000) or 0) > 40
    assert plan.probes_for(1_000, 1_000_000) is None
    assert Plan(10).probes_for(250_000, 1_000_000) == 20


def test_a_query_is_checked_wherever_it_comes_in():
    index = IvfIndex(DIM, IVF)
    index.upsert(np.arange(5), clustered(5, 25))
    for search in (index.search, index.search_exactly):
        with pytest.raises(InputError, match="vector"):
            search(np.zeros(DIM + 1, np.float32), 3)
        with pytest.raises(InputError, match="allow"):
            search(np.zeros(DIM, np.float32), 3, np.ones(5))

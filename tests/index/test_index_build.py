import msgspec
import numpy as np
import pytest

from slatewise.domain.errors import BundleError, InputError
from slatewise.domain.settings import IndexSettings
from slatewise.index.build import build_index, measure_recall
from slatewise.index.exact import ExactIndex
from slatewise.index.load import load_index
from slatewise.testing.vector_index import DIM, clustered

ROWS = np.arange(400)
VECTORS = clustered(400, 1)


@pytest.mark.parametrize(
    ("kind", "exact_up_to", "built"),
    [("auto", 400, "exact"), ("auto", 399, "ivf"), ("exact", 0, "exact"), ("hnsw", 400, "hnsw")],
)
def test_the_kind_follows_settings_and_size(kind, exact_up_to, built):
    index = build_index(ROWS, VECTORS, IndexSettings(kind=kind, exact_up_to=exact_up_to))
    assert index.kind == built
    assert len(index) == 400


def test_no_vectors_make_an_empty_index_of_the_given_width():
    index = build_index(ROWS[:0], VECTORS[:0], IndexSettings())
    assert (len(index), index.dim) == (0, DIM)
    with pytest.raises(InputError, match="vectors"):
        build_index(ROWS[:1], VECTORS[0], IndexSettings())


def test_recall_of_the_exact_index_is_one():
    index = build_index(ROWS, VECTORS, IndexSettings(kind="exact"))
    assert measure_recall(index, ROWS, VECTORS, clustered(5, 2)) == 1.0


def test_recall_counts_what_is_missing():
    index = build_index(ROWS[:200], VECTORS[:200], IndexSettings(kind="exact"))
    queries = clustered(50, 3)
    recall = measure_recall(index, ROWS, VECTORS, queries, k=20)
    truth = np.argsort(-(queries @ VECTORS.T), axis=1)[:, :20]
    assert recall == pytest.approx((truth < 200).mean(), abs=1e-6)


def test_recall_forgives_ties_and_not_strangers():
    twins = np.repeat(VECTORS[:1], 10, axis=0)
    index = ExactIndex(DIM)
    index.upsert(np.arange(5, 10), twins[5:])
    assert measure_recall(index, np.arange(10), twins, VECTORS[:1], k=5) == 1.0
    stranger = ExactIndex(DIM)
    stranger.upsert(np.arange(100, 105), twins[5:])
    assert measure_recall(stranger, np.arange(10), twins, VECTORS[:1], k=5) == 0.0


def test_recall_needs_queries():
    index = build_index(ROWS, VECTORS, IndexSettings())
    with pytest.raises(InputError, match="queries"):
        measure_recall(index, ROWS, VECTORS, VECTORS[:0])


@pytest.mark.parametrize(("saved", "wanted"), [("exact", "hnsw"), ("hnsw", "exact")])
def test_a_saved_index_becomes_the_kind_that_settings_ask_for(tmp_path, saved, wanted):
    build_index(ROWS, VECTORS, IndexSettings(kind=saved)).save(tmp_path)
    assert load_index(tmp_path, IndexSettings(kind="auto")).kind == saved
    changed = load_index(tmp_path, IndexSettings(kind=wanted))
    assert changed.kind == wanted
    assert changed.search(VECTORS[7], 1)[0].tolist() == [7]


@pytest.mark.parametrize("kind", ["exact", "hnsw"])
def test_an_empty_index_survives_saving(tmp_path, kind):
    settings = IndexSettings(kind=kind)
    build_index(ROWS[:0], VECTORS[:0], settings).save(tmp_path)
    index = load_index(tmp_path, settings)
    index.upsert(ROWS, VECTORS)
    assert index.search(VECTORS[7], 1)[0].tolist() == [7]


@pytest.mark.parametrize("name", ["index.json", "rows.npy", "vectors.npy", "births.npy", "graph.usearch"])
def test_a_missing_or_cut_file_is_named(tmp_path, name):
    build_index(ROWS, VECTORS, IndexSettings(kind="hnsw")).save(tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BundleError, match=name):
        load_index(tmp_path, IndexSettings())
    (tmp_path / name).unlink()
    with pytest.raises(BundleError, match=name):
        load_index(tmp_path, IndexSettings())


def test_columns_that_contradict_the_header_are_refused(tmp_path):
    build_index(ROWS, VECTORS, IndexSettings()).save(tmp_path)
    for name, column in (("vectors", VECTORS.astype(np.float64)), ("vectors", VECTORS[:9]), ("rows", ROWS * 0)):
        good = (tmp_path / f"{name}.npy").read_bytes()
        np.save(tmp_path / f"{name}.npy", column)
        with pytest.raises(BundleError, match=name):
            load_index(tmp_path, IndexSettings())
        (tmp_path / f"{name}.npy").write_bytes(good)
    header = msgspec.json.decode((tmp_path / "index.json").read_bytes())
    for change in ({"format": 2}, {"kind": "tree"}, {"surprise": 1}):
        (tmp_path / "index.json").write_bytes(msgspec.json.encode(header | change))
        with pytest.raises(BundleError, match=r"index\.json"):
            load_index(tmp_path, IndexSettings())


def test_an_index_file_holds_no_pickle(tmp_path):
    build_index(ROWS, VECTORS, IndexSettings()).save(tmp_path)
    np.save(tmp_path / "rows.npy", np.array([object()] * 400, dtype=object), allow_pickle=True)
    with pytest.raises(BundleError, match="rows"):
        load_index(tmp_path, IndexSettings())

"""Every instruction set, and NumPy, against products computed plainly."""

import os

import numpy as np
import pytest

from slatewise.index import kernel_numpy
from slatewise.index.kernel import kernel_name

if os.environ.get("SLATEWISE_REQUIRE_SERVICES") == "1":  # noqa: TID251  says what this run must not skip
    from slatewise.index import _kernel as native
else:
    native = pytest.importorskip("slatewise.index._kernel", reason="no compiler was at hand when this was installed")
SETS = [(native, name) for name in native.available()] + [(kernel_numpy, "numpy")]
NEVER = np.iinfo(np.int64).max


@pytest.fixture(params=SETS, ids=[name for _, name in SETS])
def kernel(request):
    module, name = request.param
    before = module.use(None) if module is kernel_numpy else kernel_name()
    module.use(name)
    yield module
    module.use(None if module is kernel_numpy else before)


def columns(blocks, dim):
    groups = -(-dim // 4)
    return {
        "codes": np.zeros(blocks * groups * 64, np.uint8),
        "scales": np.zeros(blocks * 16, np.float32),
        "vectors": np.zeros((blocks * 16, dim), np.float32),
        "rows": np.full(blocks * 16, -1, np.int32),
        "deaths": np.zeros(blocks * 16, np.int64),
        "hints": np.full(blocks, 0xFFFF, np.uint16),
    }


def segment(kernel, vectors, blocks=None):
    size, dim = vectors.shape
    held = columns(blocks or max(1, -(-size // 16)), dim)
    handle = kernel.segment(*held.values(), dim, held["hints"].size, True)
    kernel.place(handle, vectors, None, np.arange(size))
    held["rows"][:size] = np.arange(size)
    held["deaths"][:size] = NEVER
    return handle, held


def one_list(kernel, vectors, blocks):
    _, held = segment(kernel, vectors.mean(0, keepdims=True) if len(vectors) else np.zeros((1, vectors.shape[1]), "f4"))
    return kernel.lists(held["codes"], held["scales"], np.zeros(1, np.float32), np.array([0, blocks]), vectors.shape[1])


def search(kernel, vectors, query, k, allow=None, held=None, at=1, shortlist=None):
    handle, own = segment(kernel, vectors)
    if held is not None:
        own.update(held(own) or {})
    rows, scores = np.empty(k, np.int64), np.empty(k, np.float32)
    fresh, _ = segment(kernel, np.zeros((0, vectors.shape[1]), np.float32))
    found = kernel.search(
        handle,
        one_list(kernel, vectors, own["hints"].size),
        fresh,
        0,
        at,
        query,
        allow,
        rows,
        scores,
        shortlist or 4 * k + 32,
        1,
        0,
    )
    return rows[:found], scores[:found]


@pytest.mark.parametrize("dim", [1, 3, 4, 7, 16, 31, 32, 33, 64, 65, 100, 128, 300])
@pytest.mark.parametrize("size", [1, 15, 16, 17, 700])
def test_a_scan_of_everything_finds_the_largest_products(kernel, dim, size):
    rng = np.random.default_rng(dim * 1000 + size)
    vectors = rng.normal(size=(size, dim)).astype(np.float32) * rng.lognormal(size=(size, 1)).astype(np.float32)
    query = rng.normal(size=dim).astype(np.float32)
    k = min(size, 10)
    rows, scores = search(kernel, vectors, query, k)
    right = vectors.astype(np.float64) @ query.astype(np.float64)
    np.testing.assert_allclose(scores, np.sort(right)[::-1][:k], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(right[rows], scores, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1e-44, 1e-30, 1e-10, 1.0, 1e15])
def test_lengths_from_nothing_to_huge_are_told_apart(kernel, scale):
    vectors = np.array([[-1, 0], [2, 0], [1, 0], [0, 1]], np.float32) * np.float32(scale)
    rows, scores = search(kernel, vectors, np.array([1, 0], np.float32), 4)
    if scale >= 1e-30:
        assert rows.tolist() == [1, 2, 3, 0]
    assert sorted(rows.tolist()) == [0, 1, 2, 3]
    np.testing.assert_allclose(scores, (vectors @ np.array([1, 0], np.float32))[rows], rtol=1e-5)


def test_equal_scores_come_by_row(kernel):
    vectors = np.repeat(np.array([[1, 2], [2, 1]], np.float32), 40, axis=0)
    rows, _ = search(kernel, vectors, np.array([1, 1], np.float32), 80)
    assert rows.tolist() == list(range(80))


def test_the_dead_and_what_is_not_allowed_stay_out(kernel):
    vectors = np.random.default_rng(1).normal(size=(200, 16)).astype(np.float32)
    query = vectors[0]
    allow = np.zeros(150, bool)
    allow[::2] = True

    def bury(held):
        held["deaths"][:100] = 5

    before, _ = search(kernel, vectors, query, 150, allow, bury, at=4)
    after, _ = search(kernel, vectors, query, 150, allow, bury, at=5)
    assert sorted(before) == list(range(0, 150, 2))
    assert sorted(after) == list(range(100, 150, 2))
    assert search(kernel, vectors, query, 5, np.zeros(0, bool))[0].size == 0


def test_vectors_go_to_the_nearest_of_the_centroids(kernel):
    rng = np.random.default_rng(3)
    centroids = rng.normal(size=(37, 24)).astype(np.float32)
    vectors = rng.normal(size=(333, 24)).astype(np.float32)
    _, held = segment(kernel, centroids)
    lists = kernel.lists(held["codes"], held["scales"], np.zeros(37, "f4"), np.zeros(38, np.int64), 24)
    out = np.empty(333, np.int32)
    kernel.assign(lists, vectors, 24, out)
    product = vectors @ centroids.T
    chosen = np.take_along_axis(product, out[:, None].astype(np.int64), 1)[:, 0]
    assert (out == product.argmax(1)).mean() > 0.95
    assert (chosen >= product.max(1) - 0.02 * np.linalg.norm(vectors, axis=1) * 5).all()


def test_layout_gives_every_list_its_own_blocks(kernel):
    cells = np.array([2, 0, 2, 2, 0] + [4] * 20, np.int32)
    offsets, positions = np.empty(6, np.int64), np.empty(cells.size, np.int64)
    kernel.layout(cells, offsets, positions)
    assert offsets.tolist() == [0, 1, 1, 2, 2, 4]
    assert np.unique(positions).size == cells.size
    assert (positions // 16 >= offsets[cells]).all()
    assert (positions // 16 < offsets[cells + 1]).all()
    assert positions[[1, 4]].tolist() == [0, 1]


WRONG = {
    "codes": lambda c: c | {"codes": c["codes"][:-1]},
    "scales": lambda c: c | {"scales": c["scales"][:-1]},
    "vectors": lambda c: c | {"vectors": c["vectors"][:-1]},
    "rows": lambda c: c | {"rows": c["rows"][:-1]},
    "deaths": lambda c: c | {"deaths": c["deaths"][:-1]},
    "hints": lambda c: c | {"hints": c["hints"][:-1]},
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_column_that_is_too_short_is_refused(kernel, name):
    with pytest.raises(ValueError, match=name):
        kernel.segment(*WRONG[name](columns(3, 8)).values(), 8, 3, True)


@pytest.mark.parametrize(
    ("name", "changed"),
    [("rows", np.zeros(48, np.int64)), ("scales", np.zeros(48, np.float64)), ("codes", np.zeros(3 * 512, np.uint16))],
)
def test_a_column_of_another_type_is_refused_by_the_native_kernel(name, changed):
    with pytest.raises(ValueError, match=name):
        native.segment(*(columns(3, 8) | {name: changed}).values(), 8, 3, True)


def test_what_would_reach_outside_is_refused_by_the_native_kernel():
    handle, held = segment(native, np.ones((20, 8), np.float32))
    with pytest.raises(ValueError, match="targets"):
        native.place(handle, np.ones((1, 8), np.float32), None, np.array([32]))
    with pytest.raises(ValueError, match="sources"):
        native.place(handle, np.ones((1, 8), np.float32), np.array([1]), np.array([0]))
    with pytest.raises(ValueError, match="fewer"):
        native.place(handle, np.ones((1, 8), np.float32), None, np.array([0, 1]))
    with pytest.raises(ValueError, match="list_of"):
        native.layout(np.array([3], np.int32), np.zeros(3, np.int64), np.zeros(1, np.int64))
    for offsets in ([0, 3, 2], [1, 2, 2]):
        with pytest.raises(ValueError, match="offsets"):
            native.lists(held["codes"], held["scales"], np.zeros(2, "f4"), np.array(offsets), 8)
    lists = native.lists(held["codes"], held["scales"], np.zeros(1, "f4"), np.array([0, 3]), 8)
    rows, scores = np.empty(1, np.int64), np.empty(1, np.float32)
    fresh, _ = segment(native, np.zeros((0, 8), np.float32))
    with pytest.raises(ValueError, match="belong"):
        native.search(handle, lists, fresh, 0, 1, np.ones(8, "f4"), None, rows, scores, 9, 1, 0)
    right = native.lists(held["codes"], held["scales"], np.zeros(1, "f4"), np.array([0, 2]), 8)
    for query in (np.ones(9, "f4"), np.full(8, np.nan, "f4")):
        with pytest.raises(ValueError, match="query"):
            native.search(handle, right, fresh, 0, 1, query, None, rows, scores, 9, 1, 0)
    with pytest.raises(ValueError, match="shortlist"):
        native.search(handle, right, fresh, 0, 1, np.ones(8, "f4"), None, rows, scores, 0, 1, 0)
    with pytest.raises(ValueError, match="belong"):
        native.search(handle, right, fresh, 17, 1, np.ones(8, "f4"), None, rows, scores, 9, 1, 0)
    held["rows"].flags.writeable = False
    frozen = columns(1, 8)
    frozen["codes"].flags.writeable = False
    with pytest.raises((ValueError, BufferError)):
        native.segment(*frozen.values(), 8, 1, True)
    readonly = native.segment(*frozen.values(), 8, 1, False)
    with pytest.raises(ValueError, match="writable"):
        native.place(readonly, np.ones((1, 8), np.float32), None, np.array([0]))


def test_an_instruction_set_that_is_not_here_is_refused():
    with pytest.raises(ValueError, match="sse9"):
        native.use("sse9")
    with pytest.raises(ValueError, match="avx2"):
        kernel_numpy.use("avx2")

import numpy as np
import pytest

from slatewise.bundles.arrays import load_array, save_array
from slatewise.domain.errors import BundleError


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.arange(12, dtype=np.float32).reshape(3, 4).T,
        np.array([True, False]),
        np.int64(7).reshape(()),
        np.empty((0, 4), np.float32),
    ],
)
def test_an_array_comes_back_equal_and_read_only(tmp_path, array, mapped):
    save_array(tmp_path / "a.npy", array)
    loaded = load_array(tmp_path / "a.npy", dtype=array.dtype, shape=array.shape, mapped=mapped)
    np.testing.assert_array_equal(loaded, array)
    assert loaded.dtype == array.dtype
    with pytest.raises(ValueError, match="read-only"):
        loaded[...] = 1


def test_objects_are_refused_both_ways(tmp_path):
    objects = np.array([{"a": 1}], dtype=object)
    with pytest.raises(BundleError, match="objects"):
        save_array(tmp_path / "a.npy", objects)
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    for mapped in (True, False):
        with pytest.raises(BundleError, match=r"a\.npy"):
            load_array(tmp_path / "a.npy", dtype=object, shape=(1,), mapped=mapped)


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [(np.float64, (3, 4)), (np.float32, (3, 5)), (np.float32, (None, 5)), (np.float32, (12,)), (np.float32, (3, 4, 1))],
)
def test_another_type_or_shape_is_refused_by_name(tmp_path, dtype, shape):
    save_array(tmp_path / "a.npy", np.zeros((3, 4), np.float32))
    with pytest.raises(BundleError, match=r"a\.npy: float32 of shape \(3, 4\), expected"):
        load_array(tmp_path / "a.npy", dtype=dtype, shape=shape)


def test_none_in_a_shape_stands_for_any_length(tmp_path):
    save_array(tmp_path / "a.npy", np.zeros((3, 4), np.float32))
    assert load_array(tmp_path / "a.npy", dtype="f4", shape=(None, 4)).shape == (3, 4)


@pytest.mark.parametrize("mapped", [True, False])
def test_a_missing_or_damaged_file_is_named(tmp_path, mapped):
    path = tmp_path / "a.npy"
    with pytest.raises(BundleError, match=r"a\.npy"):
        load_array(path, dtype="f4", shape=(3,), mapped=mapped)
    save_array(path, np.zeros(3, np.float32))
    whole = path.read_bytes()
    for part in (b"", whole[:20], whole[:-1], b"not an array at all"):
        path.write_bytes(part)
        with pytest.raises(BundleError, match=r"a\.npy"):
            load_array(path, dtype="f4", shape=(3,), mapped=mapped)

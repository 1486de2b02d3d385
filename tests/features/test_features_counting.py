import numpy as np
import pytest

from slatewise.features import counting_numpy

native = pytest.importorskip("slatewise.features._counts", reason="no compiler was at hand when this was installed")
WIDTH, TOKENS = 13, 40
FIELDS = np.array([(0, 4, 1, False), (4, 1, 20, True), (5, 8, 24, False)], np.int64)


def pairs(rng, rows):
    """Return a sparse matrix of counts, some rows of it empty."""
    lengths = rng.integers(0, 6, rows)
    start = np.concatenate([[0], np.cumsum(lengths)])
    following = np.concatenate([np.sort(rng.choice(rows, n, replace=False)) for n in lengths])
    return start, following, rng.integers(1, 9, start[-1]), rng.integers(1, 9000, start[-1])


@pytest.mark.parametrize("seed", range(5))
def test_both_count_pairs_alike(seed):
    rng = np.random.default_rng(seed)
    matrix = pairs(rng, 12)
    before, wanted = rng.permutation(np.arange(-1, 14)), rng.permutation(15)
    found = [np.full((2, 15, 15), 7) for _ in range(2)]
    native.between(*matrix, before, wanted, found[0])
    counting_numpy.between(*matrix, before, wanted, found[1])
    np.testing.assert_array_equal(*found)
    assert found[0].any()


@pytest.mark.parametrize("steps", [0, 1, 50])
def test_both_find_the_same_in_a_history(steps):
    rng = np.random.default_rng(steps)
    past, action = rng.integers(0, 9, steps), rng.integers(0, 3, steps)
    actions, wanted = np.array([0, 2, -1]), np.arange(12)
    found = [(np.full((4, 12), 7), np.full(12, 7)) for _ in range(2)]
    native.met(past, action, actions, wanted, *found[0])
    counting_numpy.met(past, action, actions, wanted, *found[1])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    times, latest = found[0]
    assert times[0].sum() == steps
    assert all(past[step] == item for item, step in enumerate(latest.tolist()) if step >= 0)


@pytest.mark.parametrize("steps", [0, 1, 50])
@pytest.mark.parametrize("seed", range(5))
def test_both_compare_tokens_alike_to_the_last_digit(steps, seed):
    rng = np.random.default_rng(seed)
    own, past = (np.where(rng.random((n, WIDTH)) < 0.3, 0, rng.integers(1, TOKENS, (n, WIDTH))) for n in (30, steps))
    own, past = own.astype(np.int32), past.astype(np.int32)
    weight = rng.random(steps)
    found = [np.full((6, 30), 7, np.float32) for _ in range(2)]
    for kernel, out in zip((native, counting_numpy), found, strict=True):
        kernel.shared(own, past, WIDTH, FIELDS, weight, float(weight.sum()), TOKENS, out)
    np.testing.assert_array_equal(*found)
    assert np.isnan(found[0][:2]).all() == (steps == 0)


def test_what_would_reach_outside_is_refused():
    good = np.zeros((2, WIDTH), np.int32)
    out, weight = np.zeros((6, 2), np.float32), np.ones(2)
    for wrong in (np.int32(-1), np.int32(TOKENS)):
        bad = good.copy()
        bad[1, 3] = wrong
        for own, past in ((bad, good), (good, bad)):
            with pytest.raises(ValueError, match="expected tokens"):
                native.shared(own, past, WIDTH, FIELDS, weight, 2.0, TOKENS, out)
    with pytest.raises(ValueError, match="beyond the width"):
        native.shared(good, good, WIDTH, np.array([(6, 8, 1, 0)]), weight, 2.0, TOKENS, out)
    with pytest.raises(ValueError, match="weight"):
        native.shared(good, good, WIDTH, FIELDS, weight[:1], 2.0, TOKENS, out)
    with pytest.raises(ValueError, match="out"):
        native.shared(good, good, WIDTH, FIELDS, weight, 2.0, TOKENS, out[:5])
    entries, rows = np.zeros(2, np.int64), np.zeros(1, np.int64)
    with pytest.raises(ValueError, match="start"):
        native.between(np.array([0, 3]), entries, entries, entries, rows, rows, np.zeros((2, 1, 1), np.int64))
    with pytest.raises(ValueError, match="latest"):
        native.met(rows, rows, rows, rows, np.zeros((2, 1), np.int64), np.zeros(0, np.int64))
    with pytest.raises(ValueError, match="entries of 4 bytes"):
        native.met(rows.astype(np.int32), rows, rows, rows, np.zeros((2, 1), np.int64), rows)

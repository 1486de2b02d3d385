import importlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slatewise.domain.columns import Interactions
from slatewise.domain.settings import AbuseSettings
from slatewise.features import counting_numpy
from slatewise.features.shares import SLOTS, WAYS, Shares
from slatewise.features.state import CountedState

DAY, NOW = 86_400.0, 1.8e9
ATTACKER, PUSHED, BESIDE = 7_777, 40, 41
REPEATS = 10_000


def interactions(user, item, at) -> Interactions:  # type: ignore[no-untyped-def]
    user, item, at = np.broadcast_arrays(user, item, at)
    n = user.size
    return Interactions(
        np.arange(n), user.astype(np.int64), item.astype(np.int64), np.zeros(n, np.int64), at.astype(float), np.ones(n)
    )


def crowd() -> Interactions:
    """Return two weeks of 500 users, each with a few of 40 items, some of them twice."""
    rng = np.random.default_rng(0)
    n = 5_000
    return interactions(rng.integers(0, 500, n), rng.integers(0, 40, n), np.sort(NOW + rng.uniform(0, 14 * DAY, n)))


def flood(repeats: int = REPEATS) -> Interactions:
    """Return what one user does to push one item, and to bind it to another: the two in turn, within an hour."""
    item = np.where(np.arange(repeats) % 2, PUSHED, BESIDE)
    return interactions(ATTACKER, item, NOW + 14 * DAY + np.linspace(0, 3600, repeats))


def state(cap: Shares | None) -> CountedState:
    folded = CountedState([0], shares=cap)
    folded.fold(crowd())
    return folded


def moved(cap: Shares | None, repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how far a flood moves the counts of the pushed item, and those of its pair."""
    before, after = state(cap), state(Shares.of(AbuseSettings()) if cap else None)
    after.fold(flood(repeats))
    at, row = NOW + 14 * DAY, np.array([PUSHED])
    counts = [
        np.append(one.popularity.trends(row, at)[:, 0], one.popularity.counts(row).astype(float))
        for one in (before, after)
    ]
    pairs = [np.concatenate(one.transitions.between(BESIDE, row)).astype(float) for one in (before, after)]
    return counts[1] - counts[0], pairs[1] - pairs[0]


def test_ten_thousand_repeats_move_every_shared_count_by_one_users_share() -> None:
    # What an eager but honest user may do: view it, put it into the cart, buy it.
    shares = moved(Shares.of(AbuseSettings()), 2 * AbuseSettings().repeats)
    flooded = moved(Shares.of(AbuseSettings()), REPEATS)
    for share, found in zip(shares, flooded, strict=True):
        assert share.min() > 0
        assert (found <= 1.05 * share).all()


def test_without_the_cap_the_same_flood_moves_them_by_thousands_of_shares() -> None:
    for share, found in zip(moved(None, 2 * AbuseSettings().repeats), moved(None, REPEATS), strict=True):
        assert (found > 1_000 * share).all()


@pytest.mark.parametrize(("repeats", "is_taken_over"), [(3, False), (0, True)])
def test_a_flood_takes_over_what_trends_only_where_the_cap_is_off(repeats: int, is_taken_over: bool) -> None:
    folded = state(Shares.of(AbuseSettings(repeats=repeats)))
    before = folded.trending(NOW, 10)[0].tolist()
    folded.fold(flood())
    after = folded.trending(NOW, 10)[0].tolist()
    assert (after[:2] == [PUSHED, BESIDE]) == is_taken_over
    assert (after == before) != is_taken_over


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 6_000), max_size=6), seed=st.integers(0, 5))
def test_any_batches_and_a_restart_admit_the_same(cuts: list[int], seed: int, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    folder: Path = tmp_path_factory.mktemp("bundle")
    rng = np.random.default_rng(seed)
    n = 6_000
    at = NOW + np.sort(rng.uniform(0, 20 * DAY, n)) - 30 * DAY * (rng.random(n) < 0.05)
    at[rng.random(n) < 0.1] = np.nan
    user, item = rng.integers(0, 30, n), rng.zipf(1.5, n) % 20
    whole = Shares(2, 3 * DAY)
    expected = whole.admit(user, item, at)
    assert 0.2 < expected.mean() < 0.8
    parts, found = Shares(2, 3 * DAY), []
    for lo, hi in pairwise([0, *sorted(cuts), n]):
        found.append(parts.admit(user[lo:hi], item[lo:hi], at[lo:hi]))
        parts.save(folder)
        again = Shares.load(folder)
        assert again is not None
        parts = again
    assert np.array_equal(np.concatenate(found), expected)


def test_the_native_part_and_numpy_agree_in_a_table_that_is_too_small() -> None:
    native = pytest.importorskip("slatewise.features._counts", reason="no compiler was at hand")
    rng = np.random.default_rng(3)
    n, slots = 20_000, 64
    pairs = rng.integers(1, 200, n).astype(np.uint64)
    first, at = (pairs % np.uint64(slots // WAYS)).astype(np.int64) * WAYS, np.cumsum(rng.exponential(1.0, n))
    tables = []
    for kernel in (native, counting_numpy):
        held, empty_at, out = np.zeros(slots, np.uint64), np.full(slots, -np.inf), np.zeros(n, np.uint8)
        kernel.admit(pairs, first, at, held, empty_at, WAYS, 100.0, 200.0, out)
        tables.append((held, empty_at, out))
    for one, other in zip(*tables, strict=True):
        assert np.array_equal(one, other)
    assert 0 < tables[0][2].sum() < n
    with pytest.raises(ValueError, match="slots of the table"):
        native.admit(pairs, first + slots, at, held, empty_at, WAYS, 1.0, 1.0, out)
    with pytest.raises(ValueError, match="admitted"):
        native.admit(pairs, first, at, held, empty_at, WAYS, 1.0, 1.0, out[1:])


def test_who_comes_back_every_week_counts_every_time() -> None:
    at = NOW + np.arange(50) * 7 * DAY
    assert Shares(3, 7 * DAY).admit(np.zeros(50, np.int64), np.zeros(50, np.int64), at).all()


def test_a_made_up_past_frees_nothing() -> None:
    shares, one = Shares(3, 7 * DAY), np.zeros(1, np.int64)
    shares.admit(one + 1, one, np.array([NOW]))
    at = np.linspace(0, NOW, REPEATS)
    # As far as the cap reaches back: three for the past, and the three weeks up to now.
    assert shares.admit(one.repeat(REPEATS), one.repeat(REPEATS), at).sum() <= 6


def test_a_crowd_passing_by_makes_room_for_no_repeat() -> None:
    shares = Shares(3, 7 * DAY)
    repeating, n = np.full(100, 5), 2 * SLOTS if _is_native() else SLOTS // 4
    assert shares.admit(repeating, repeating, np.full(100, NOW)).sum() == 3
    passing = shares.admit(np.arange(10, n + 10), np.arange(n) % 1_000, np.full(n, NOW + 1))
    assert passing.all()
    assert not shares.admit(repeating, repeating, np.full(100, NOW + 2)).any()


def _is_native() -> bool:
    return importlib.import_module("slatewise.features.counting").counting is not counting_numpy


def test_a_saved_cap_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    folded = state(Shares.of(AbuseSettings()))
    folded.save(tmp_path)
    with np.load(tmp_path / "shares.npz") as file:
        held = dict(file)
    for wrong in ({"cap": np.array([0.0, 1.0, 0.0])}, {"slots": held["slots"] + SLOTS}):
        np.savez(tmp_path / "shares.npz", **held | wrong)
        with pytest.raises(ValueError, match=r"shares\.npz"):
            Shares.load(tmp_path)
    (tmp_path / "shares.npz").unlink()
    assert Shares.load(tmp_path) is None

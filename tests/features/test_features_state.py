from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slatewise.domain.columns import Interactions
from slatewise.features import transitions
from slatewise.features.state import CountedState
from slatewise.features.transitions import STEP_WEIGHTS, WINDOW, Transitions


def interactions(n: int, users: int, items: int, seed: int = 0, timeless: float = 0.1) -> Interactions:
    rng = np.random.default_rng(seed)
    at = np.sort(rng.uniform(1e9, 1e9 + 60 * 86_400, n))
    at[rng.random(n) < timeless] = np.nan
    return Interactions(
        np.arange(n),
        rng.integers(0, users, n),
        rng.integers(0, items, n),
        rng.integers(0, 3, n),
        at,
        np.ones(n, np.float32),
    )


def counted_by_hand(events: Interactions) -> dict[tuple[int, int], list[int]]:
    histories: dict[int, list[int]] = {}
    pairs: dict[tuple[int, int], list[int]] = {}
    for user, item in zip(events.user.tolist(), events.item.tolist(), strict=True):
        for distance, before in enumerate(histories.get(user, [])[::-1][:WINDOW]):
            if before != item:
                pair = pairs.setdefault((before, item), [0, 0])
                pair[0] += distance == 0
                pair[1] += int(STEP_WEIGHTS[distance])
        histories.setdefault(user, []).append(item)
    return pairs


def test_transitions_equal_a_count_by_hand() -> None:
    events = interactions(3000, users=40, items=30)
    folded = Transitions()
    folded.fold(events.user, events.item)
    expected = counted_by_hand(events)
    for before in range(30):
        near, decayed = folded.between(before, np.arange(30))
        assert near.tolist() == [expected.get((before, j), [0, 0])[0] for j in range(30)]
        assert decayed.tolist() == [expected.get((before, j), [0, 0])[1] for j in range(30)]


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 3000), max_size=6), seed=st.integers(0, 5))
def test_folding_in_any_batches_gives_the_same_state_bit_for_bit(cuts: list[int], seed: int) -> None:
    events = interactions(3000, users=50, items=40, seed=seed)
    at_once, in_parts = CountedState([0, 2]), CountedState([0, 2])
    at_once.fold(events)
    borders = [0, *sorted(cuts), 3000]
    for lo, hi in pairwise(borders):
        in_parts.fold(events.take(slice(lo, hi)))
    every = np.arange(40)
    assert np.array_equal(at_once.popularity.counts(every), in_parts.popularity.counts(every))
    assert np.array_equal(at_once.popularity.trend(every, 1.001e9), in_parts.popularity.trend(every, 1.001e9))
    for row in range(40):
        assert np.array_equal(at_once.transitions.between(row, every), in_parts.transitions.between(row, every))
    last = np.array([3, 5, 7])
    for got, expected in zip(in_parts.next_items(last, 10), at_once.next_items(last, 10), strict=True):
        assert np.array_equal(got, expected)
    for got, expected in zip(in_parts.trending(1e9, 10), at_once.trending(1e9, 10), strict=True):
        assert np.array_equal(got, expected)


def test_merging_put_off_gives_the_same_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    events = interactions(6_000, users=40, items=30)
    at_once, put_off = Transitions(), Transitions()
    at_once.fold(events.user, events.item)
    monkeypatch.setattr(transitions, "GATHERED", 8_000)
    merges = []
    merge = Transitions._merge
    monkeypatch.setattr(Transitions, "_merge", lambda self, *columns: (merges.append(1), merge(self, *columns)))
    with put_off.gathered():
        for lo, hi in pairwise([0, 700, 710, 1_800, 3_000, 4_200, 6_000]):
            put_off.fold(events.user[lo:hi], events.item[lo:hi])
    assert 1 < len(merges) < 5, "less often than there were batches, and more than once"
    for row in range(30):
        near, decayed = put_off.between(row, np.arange(30))
        assert (near.tolist(), decayed.tolist()) == tuple(c.tolist() for c in at_once.between(row, np.arange(30)))
    put_off.fold(events.user[:1_000], events.item[:1_000])
    assert len(merges) >= 3, "afterwards each batch is merged again"


def test_events_one_by_one_equal_a_batch() -> None:
    events = interactions(700, users=9, items=20)
    at_once, one_by_one = CountedState([0, 1, 2]), CountedState([0, 1, 2])
    at_once.fold(events)
    for i in range(700):
        one_by_one.fold(events.take(slice(i, i + 1)))
    every = np.arange(20)
    assert np.array_equal(at_once.popularity.recent[:20], one_by_one.popularity.recent[:20])
    for row in range(20):
        assert np.array_equal(at_once.transitions.between(row, every), one_by_one.transitions.between(row, every))
        followers = [np.sort(state.transitions.followers(row)[0]) for state in (at_once, one_by_one)]
        assert np.array_equal(*followers)


def test_state_survives_saving(tmp_path) -> None:  # type: ignore[no-untyped-def]
    events = interactions(900, users=9, items=20)
    state = CountedState([0, 1, 2])
    state.fold(events.take(slice(0, 600)))
    state.fold(events.take(slice(600, 620)))
    state.save(tmp_path)
    loaded = CountedState.load(tmp_path, [0, 1, 2])
    state.fold(events.take(slice(620, 900)))
    loaded.fold(events.take(slice(620, 900)))
    every = np.arange(25)
    for row in range(25):
        assert np.array_equal(state.transitions.between(row, every), loaded.transitions.between(row, every))
    assert np.array_equal(state.popularity.trend(every, 1e9), loaded.popularity.trend(every, 1e9))
    for got, expected in zip(state.trending(1e9, 5), loaded.trending(1e9, 5), strict=True):
        assert np.array_equal(got, expected)


def test_what_everyone_touches_now_trends_over_what_was_touched_long_ago() -> None:
    n = 400
    item = np.where(np.arange(n) < 300, 1, 2)
    at = np.where(item == 1, 1e9, 1e9 + 60 * 86_400)
    state = CountedState([0])
    state.fold(Interactions(np.arange(n), np.arange(n), item, np.zeros(n, np.int64), at, np.ones(n, np.float32)))
    assert state.trending(1e9 + 61 * 86_400, 2)[0].tolist() == [2, 1]


def test_trending_is_exact_after_many_single_events() -> None:
    events = interactions(12_000, users=300, items=2_000, timeless=0)
    state = CountedState([0, 1, 2])
    state.fold(events.take(slice(0, 6000)))
    for i in range(6000, 9000):
        state.fold(events.take(slice(i, i + 1)))
    rows, _ = state.trending(2e9, 20)
    truth = np.argsort(-state.popularity.recent, kind="stable")[:20]
    assert np.array_equal(state.popularity.recent[rows], state.popularity.recent[truth])


def test_only_counted_actions_count() -> None:
    events = interactions(1200, users=20, items=15)
    state, by_hand = CountedState([0, 2]), CountedState([0, 1, 2])
    state.fold(events)
    by_hand.fold(events.take(events.action != 1))
    every = np.arange(15)
    assert state.popularity.counts(every).sum() == (events.action != 1).sum() < 1200
    for row in range(15):
        assert np.array_equal(state.transitions.between(row, every), by_hand.transitions.between(row, every))

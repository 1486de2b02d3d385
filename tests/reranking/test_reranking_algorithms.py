from collections import Counter

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from slatewise.reranking.cap import capped, fits, occurrence
from slatewise.reranking.diversity import diversified
from slatewise.reranking.exploration import explored
from slatewise.reranking.pins import pinned, with_pins
from slatewise.testing.small_shop import item_vectors

codes = st.lists(st.integers(-1, 4), max_size=30).map(lambda c: np.array(c, np.int64))


@given(codes, st.integers(0, 12), st.integers(1, 4), codes)
def test_cap_fills_the_slate_and_breaks_itself_only_where_nothing_else_is_left(code, size, cap, placed):
    chosen = capped(code, size, cap, placed)
    assert chosen.size == min(size, code.size) == len(set(chosen.tolist()))
    count = Counter(placed.tolist())
    relaxed = False
    for at in chosen.tolist():
        fitting = code[at] == -1 or count[code[at]] < cap
        relaxed |= not fitting
        assert not (relaxed and fitting), "what fits goes before what does not"
        count[code[at]] += 1
    if relaxed:
        left = set(range(code.size)) - set(chosen.tolist())
        assert all(code[at] != -1 and count[code[at]] >= cap for at in left)


@given(codes, codes)
def test_occurrence_counts_what_came_before(code, placed):
    joined = placed.tolist() + code.tolist()
    expected = [joined[:at].count(joined[at]) for at in range(placed.size, len(joined))]
    assert occurrence(code, placed).tolist() == expected


def test_cap_keeps_the_order_of_what_it_takes():
    assert capped(np.array([1, 1, 1, 2, 1, 3]), 4, 2).tolist() == [0, 1, 3, 5]
    assert capped(np.array([1, 1, 1, 2, 1, 3]), 5, 2).tolist() == [0, 1, 3, 5, 2]


def test_cap_zero_lifts_the_cap():
    assert capped(np.array([1, 1, 1]), 2, 0).tolist() == [0, 1]
    assert fits(np.array([1, 1]), 0, np.array([1])).all()


def test_fits_says_which_codes_have_room():
    assert fits(np.array([1, 2, -1]), 2, np.array([1, 1, 2, -1, -1])).tolist() == [False, True, True]


def reference_mmr(score, vectors, size, weight):
    scaled = (score - score.min()) / (score.max() - score.min()) if score.max() > score.min() else score * 0
    chosen = []
    while len(chosen) < min(size, len(score)):
        best, best_worth = -1, -np.inf
        for at in range(len(score)):
            if at in chosen:
                continue
            likeness = max((float(vectors[at] @ vectors[c]) for c in chosen), default=0.0)
            worth = (1 - weight) * float(scaled[at]) - weight * likeness
            if worth > best_worth + 1e-9:
                best, best_worth = at, worth
        chosen.append(best)
    return chosen


@pytest.mark.parametrize("weight", [0.1, 0.5, 0.9])
def test_diversity_is_maximal_marginal_relevance_as_published(weight):
    rng = np.random.default_rng(5)
    for n in (1, 2, 7, 25):
        score = np.sort(rng.random(n))[::-1].astype(np.float32)
        vectors = item_vectors(rng.integers(0, 500, n))
        expected = reference_mmr(score.astype(float), vectors.astype(float), 10, weight)
        assert diversified(score, vectors, 10, weight).tolist() == expected


def test_diversity_zero_is_the_identity():
    score = np.array([3, 2, 1], np.float32)
    assert diversified(score, item_vectors(np.zeros(3, np.int64)), 2, 0.0).tolist() == [0, 1]


def test_diversity_one_starts_with_the_best_and_then_takes_the_farthest():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [-1, 0]], np.float32)
    assert diversified(np.array([4, 3, 2, 1], np.float32), vectors, 4, 1.0).tolist()[:2] == [0, 3]


def test_diversity_survives_unknown_vectors_and_equal_scores():
    vectors = np.full((4, 3), np.nan, np.float32)
    assert diversified(np.ones(4, np.float32), vectors, 4, 0.5).tolist() == [0, 1, 2, 3]


def test_pins_count_only_where_the_row_is_there_and_the_place_is_free():
    rows = np.array([10, 11, 12, 13])
    pins = [(12, 1), (99, 0), (13, 1), (-1, 2), (11, 9), (12, 3), (13, 2), (10, -1)]
    assert pinned(rows, pins, 4) == {1: 2, 2: 3}


def test_pins_push_the_others_around_them():
    order, reasons = with_pins(np.array([5, 6, 7]), ["a", "b", "c"], {0: 1, 2: 9})
    assert order == [1, 5, 9, 6, 7]
    assert reasons == ["pinned", "a", "pinned", "b", "c"]


def test_a_pin_beyond_a_short_slate_goes_to_the_end():
    assert with_pins(np.array([5]), ["a"], {4: 1})[0] == [5, 1]


def test_exploration_off_draws_nothing():
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    assert explored(np.arange(3), 0.0, rng) is None
    assert rng.bit_generator.state == before


def test_exploration_happens_as_often_as_asked_and_evenly():
    rng = np.random.default_rng(1)
    draws = [explored(np.array([4, 8]), 0.25, rng) for _ in range(4000)]
    share = Counter(draws)
    assert share[None] / 4000 == pytest.approx(0.75, abs=0.03)
    assert share[4] / share[8] == pytest.approx(1.0, abs=0.2)
    assert explored(np.empty(0, np.int64), 1.0, rng) is None

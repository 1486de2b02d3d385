"""Boosts: factors on scores, before everything else; where nothing is boosted, nothing moves."""

import logging

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from slatewise.domain.errors import ConfigError
from slatewise.domain.settings import BoostSettings, PinSettings, RerankingSettings
from slatewise.reranking.boosts import LARGEST, Boosts, boosted
from slatewise.reranking.compose import SlateReranker
from slatewise.testing.small_shop import NOW, SmallShop, item_vectors
from slatewise.testing.stages import RerankerContract, candidates, resolved


def category(name, factor):
    return BoostSettings(where={"categories": name}, factor=factor)


def reranker(settings, shop=None, look_ahead=100):
    shop = shop or SmallShop()
    return SlateReranker(settings, shop.catalogue, item_vectors, np.random.default_rng(7), look_ahead)


class TestSlateRerankerBoosted(RerankerContract):
    def make(self, shop):
        return reranker(RerankingSettings(boosts=(category("c1", 3.0),), cap=2, diversity=0.4), shop)


def test_a_boost_raises_what_meets_its_condition_and_says_so():
    # Categories go round by four: rows 1 and 5 are c1.
    arranged = reranker(RerankingSettings(boosts=(category("c1", 3.0),))).arrange(
        resolved(), candidates([0, 2, 1, 3, 5], [0.9, 0.8, 0.5, 0.4, 0.1]), 3
    )
    assert arranged.position.tolist() == [2, 0, 1]
    assert arranged.reason == ("boosted", "ranked", "ranked")
    assert arranged.order.tolist() == [2, 0, 1, 3, 4]


def test_a_factor_below_one_pushes_down_and_the_pushed_one_says_so():
    arranged = reranker(RerankingSettings(boosts=(category("c0", 0.5),))).arrange(
        resolved(), candidates([0, 1, 2], [0.9, 0.8, 0.3]), 3
    )
    assert arranged.position.tolist() == [1, 0, 2]
    assert arranged.reason == ("ranked", "boosted", "ranked")


def test_a_boost_that_does_not_move_an_item_is_no_reason():
    arranged = reranker(RerankingSettings(boosts=(category("c0", 1.01),))).arrange(
        resolved(), candidates([1, 0], [0.9, 0.5]), 2
    )
    assert arranged.reason == ("ranked", "ranked")


scores = st.lists(st.floats(-2, 2, width=32) | st.sampled_from([np.nan, np.inf, -np.inf]), min_size=1, max_size=30)


@given(scores, st.sampled_from([0.0, 0.4]), st.sampled_from([0, 2]))
def test_a_factor_of_one_changes_nothing(score, diversity, cap):
    ranked = candidates(range(len(score)), sorted(score, key=lambda s: (not np.isfinite(s), -s)))
    shop = SmallShop()
    plain = RerankingSettings(cap=cap, diversity=diversity, pins=(PinSettings("i2", 1),))
    rules = RerankingSettings(
        cap=cap, diversity=diversity, pins=plain.pins, boosts=(category("c1", 1.0), category("c2", 1.0))
    )
    without = reranker(plain, shop).arrange(resolved(), ranked, 8)
    with_ones = reranker(rules, shop).arrange(resolved(), ranked, 8)
    assert with_ones.position.tolist() == without.position.tolist()
    assert with_ones.reason == without.reason


def test_factors_of_one_item_multiply_and_stay_within_bounds():
    shop = SmallShop()
    shop.put("both", categories=("c1", "c2"))
    factors = Boosts((category("c1", 2.0), category("c2", 0.25)), shop.catalogue).factor(np.array([0, 1, 2, 40, 99]))
    assert factors.tolist() == [1.0, 2.0, 0.25, 0.5, 1.0]
    huge = Boosts((category("c1", 1e300), category("c1", 1e300)), shop.catalogue).factor(np.array([1]))
    assert huge.tolist() == [LARGEST]
    tiny = Boosts((category("c1", 1e-300), category("c1", 1e-300)), shop.catalogue).factor(np.array([1]))
    assert tiny.tolist() == [1 / LARGEST]
    assert np.isfinite(boosted(np.array([3e38, 1e-45], np.float32), np.array([huge[0], tiny[0]]))).all()


def test_a_boost_helps_negative_scores_too_and_leaves_broken_ones_alone():
    score = np.array([0.5, 0.0, -0.5, np.nan, np.inf, -np.inf], np.float32)
    np.testing.assert_array_equal(boosted(score, np.full(6, 2.0)), [1.0, 0.0, -0.25, np.nan, np.inf, -np.inf])
    np.testing.assert_array_equal(boosted(score, np.full(6, 0.5)), [0.25, 0.0, -1.0, np.nan, np.inf, -np.inf])
    ranked = candidates([0, 1, 5], [0.1, np.nan, np.inf])
    arranged = reranker(RerankingSettings(boosts=(category("c1", 1e6),))).arrange(resolved(), ranked, 3)
    assert arranged.position.tolist() == [0, 1, 2], "no factor makes a broken score worth a place"


def test_boosts_come_before_the_window_diversity_and_cap():
    # Row 5 is beyond the window by rank, within it by price.
    rules = RerankingSettings(boosts=(category("c1", 100.0),), cap=1)
    arranged = reranker(rules, look_ahead=2).arrange(resolved(), candidates([0, 4, 8, 12, 2, 1, 5]), 2)
    assert arranged.position.tolist() == [5, 0]
    assert arranged.reason == ("boosted", "capped")


def test_boosts_follow_the_catalogue():
    shop = SmallShop()
    arranging = reranker(RerankingSettings(boosts=(category("c1", 9.0),)), shop)
    ranked = candidates([0, 2], [0.9, 0.5])
    assert arranging.arrange(resolved(), ranked, 2).position.tolist() == [0, 1]
    shop.put("i2", categories=("c1",))
    assert arranging.arrange(resolved(), ranked, 2).position.tolist() == [1, 0]
    shop.remove("i2")
    assert arranging.arrange(resolved(), ranked, 2).position.tolist() == [0, 1]


def test_conditions_are_evaluated_once_per_catalogue_version(monkeypatch):
    shop = SmallShop()
    asked = []
    meeting = shop.catalogue.meeting
    monkeypatch.setattr(shop.catalogue, "meeting", lambda where: asked.append(where) or meeting(where))
    arranging = reranker(RerankingSettings(boosts=(category("c1", 2.0),)), shop)
    asked.clear()
    for _ in range(5):
        arranging.arrange(resolved(), candidates(range(9)), 4)
    assert len(asked) == 1
    shop.put("i40", categories=("c1",))
    arranging.arrange(resolved(), candidates(range(9)), 4)
    assert len(asked) == 2


def test_a_condition_that_the_catalogue_cannot_answer_is_refused_by_name():
    rules = (category("c1", 2.0), BoostSettings(where={"colour": "red"}, factor=2.0))
    with pytest.raises(ConfigError, match=r"reranking\.boosts\[1\]\.where.*colour.*expected categories"):
        Boosts(rules, SmallShop().catalogue)


def test_a_condition_that_makes_no_sense_any_more_boosts_nothing_and_is_told_once(monkeypatch, caplog):
    shop = SmallShop()
    arranging = reranker(RerankingSettings(boosts=(category("c1", 9.0), category("c2", 9.0))), shop)
    meeting = shop.catalogue.meeting
    missing = BoostSettings(where={"gone": 1}).where
    monkeypatch.setattr(
        shop.catalogue, "meeting", lambda where: meeting(missing if where["categories"] == "c1" else where)
    )
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            shop.put("i39", created_at=NOW)
            arranged = arranging.arrange(resolved(), candidates([0, 1, 2], [0.9, 0.8, 0.7]), 3)
    assert arranged.position.tolist() == [2, 0, 1], "the other boost still counts"
    assert [r.message for r in caplog.records if "boosts[0]" in r.message] == [caplog.records[0].message]

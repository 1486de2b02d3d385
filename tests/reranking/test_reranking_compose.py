import numpy as np
import pytest

from slatewise.domain.settings import PinSettings, RerankingSettings
from slatewise.reranking.compose import SlateReranker
from slatewise.testing.small_shop import NOW, SmallShop, item_vectors
from slatewise.testing.stages import RerankerContract, candidates, resolved

ALL_ON = RerankingSettings(cap=2, diversity=0.4, exploration=0.5, pins=(PinSettings("i3", 1), PinSettings("i5", 0)))


def reranker(settings, shop=None, look_ahead=100):
    shop = shop or SmallShop()
    return SlateReranker(settings, shop.catalogue, item_vectors, np.random.default_rng(7), look_ahead)


class TestSlateRerankerOff(RerankerContract):
    def make(self, shop):
        return reranker(RerankingSettings(), shop)


class TestSlateRerankerCapAndDiversity(RerankerContract):
    def make(self, shop):
        return reranker(RerankingSettings(cap=2, diversity=0.4), shop)


class TestSlateRerankerShortSighted(RerankerContract):
    def make(self, shop):
        return reranker(RerankingSettings(cap=1, diversity=0.4), shop, look_ahead=0)


def test_with_everything_off_the_ranked_order_stands():
    arranged = reranker(RerankingSettings()).arrange(resolved(), candidates(range(9)), 4)
    assert arranged.position.tolist() == [0, 1, 2, 3]
    assert arranged.reason == ("ranked",) * 4


def test_with_everything_on_places_stay_distinct_and_pins_hold():
    arranging = reranker(ALL_ON)
    for n in range(0, 41, 4):
        for size in (1, 2, 3, 10, 50):
            position = arranging.arrange(resolved(size=size), candidates(range(n)), size).position.tolist()
            assert len(set(position)) == len(position) == min(n, size)
            if n > 8 and size > 2:
                assert position[:2] == [5, 3]


def test_capped_slate_names_whom_the_cap_moved_up():
    # Categories go round by four: rows 0, 4, 8, 12 are one, row 1 another.
    arranged = reranker(RerankingSettings(cap=2)).arrange(resolved(), candidates([0, 4, 8, 12, 1]), 3)
    assert arranged.position.tolist() == [0, 1, 4]
    assert arranged.reason == ("ranked", "ranked", "capped")


def test_cap_gives_way_rather_than_leaving_a_hole():
    arranged = reranker(RerankingSettings(cap=1)).arrange(resolved(), candidates([0, 4, 8, 1]), 4)
    assert arranged.position.tolist() == [0, 3, 1, 2]


def test_cap_looks_ahead_no_further_than_it_may():
    ranked = candidates([0, 4, 8, 12, 1])
    assert reranker(RerankingSettings(cap=1), look_ahead=2).arrange(resolved(), ranked, 2).position.tolist() == [0, 1]
    assert reranker(RerankingSettings(cap=1), look_ahead=3).arrange(resolved(), ranked, 2).position.tolist() == [0, 4]


def test_pinned_items_count_towards_the_cap():
    settings = RerankingSettings(cap=1, pins=(PinSettings("i4", 0),))
    arranged = reranker(settings).arrange(resolved(), candidates([0, 1, 4, 2]), 3)
    assert arranged.position.tolist() == [2, 1, 3]
    assert arranged.reason == ("pinned", "capped", "capped")


def test_a_pinned_item_that_may_not_be_shown_is_not_pinned():
    arranged = reranker(RerankingSettings(pins=(PinSettings("i9", 0),))).arrange(resolved(), candidates([0, 1, 2]), 2)
    assert arranged.position.tolist() == [0, 1]
    assert "pinned" not in arranged.reason


def test_diversity_moves_lookalikes_apart_and_says_so():
    ranked = candidates([0, 0, 20, 21], [1.0, 0.99, 0.98, 0.0])
    arranged = reranker(RerankingSettings(diversity=0.5)).arrange(resolved(), ranked, 2)
    assert arranged.position.tolist() == [0, 2]
    assert arranged.reason == ("ranked", "diversified")


def test_what_the_cap_pulls_up_is_diverse_too():
    vector = {0: [1, 0, 0], 4: [0, 1, 0], 1: [1, 0, 0], 2: [0, 0, 1]}
    arranging = SlateReranker(
        RerankingSettings(cap=1, diversity=0.5),
        SmallShop().catalogue,
        lambda rows: np.array([vector[row] for row in rows.tolist()], np.float32),
        np.random.default_rng(7),
    )
    ranked = candidates([0, 4, 1, 2], [1.0, 0.9, 0.8, 0.7])
    arranged = arranging.arrange(resolved(), ranked, 2)
    assert ranked.row[arranged.position].tolist() == [0, 2]
    assert arranged.reason == ("ranked", "capped")


def test_exploration_gives_the_last_place_to_a_new_item_of_the_reserve():
    shop = SmallShop()
    shop.put("new", created_at=NOW)
    ranked = candidates([*range(20), 40])
    arranged = reranker(RerankingSettings(exploration=1.0), shop).arrange(resolved(), ranked, 5)
    assert arranged.position.tolist() == [0, 1, 2, 3, 20]
    assert arranged.reason == ("ranked",) * 4 + ("explored",)


@pytest.mark.parametrize("settings", [RerankingSettings(exploration=1.0), RerankingSettings(exploration=0.0)])
def test_exploration_needs_a_new_item(settings):
    arranged = reranker(settings).arrange(resolved(), candidates(range(20)), 5)
    assert arranged.position.tolist() == [0, 1, 2, 3, 4]


def test_exploration_never_takes_a_pinned_place_nor_breaks_the_cap():
    shop = SmallShop()
    shop.put("new", created_at=NOW, categories=("c0",))
    pins = (PinSettings("i7", 4),)
    pinned = reranker(RerankingSettings(exploration=1.0, pins=pins), shop).arrange(
        resolved(), candidates([*range(20), 40]), 5
    )
    assert pinned.reason[-1] == "pinned"
    ranked = candidates([0, 1, 2, 3, 40])
    capped = reranker(RerankingSettings(exploration=1.0, cap=1), shop).arrange(resolved(), ranked, 4)
    assert capped.position.tolist() == [0, 1, 2, 3]

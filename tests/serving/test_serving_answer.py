import json
from dataclasses import asdict

import numpy as np
import pytest

from slatewise.domain.settings import RerankingSettings, Settings
from slatewise.serving.answer import answer
from slatewise.testing.small_shop import NOW, SmallShop
from slatewise.testing.stages import ListSource, RowScorer


def test_an_answer_speaks_in_ids(build, ask):
    shop = SmallShop()
    slate = build(shop).recommend(ask())
    told = answer(slate, shop.catalogue)
    assert [item.item_id for item in told.items] == [f"i{row}" for row in slate.shown.row]
    assert [item.position for item in told.items] == [0, 1, 2, 3, 4]
    assert {item.source for item in told.items} <= {"two_tower", "item_to_item", "trending", "new_arrivals"}
    assert (told.as_of, told.bundle, told.cached, told.request_id) == (slate.version, "b1", False, "r1")
    assert told.explanation is None


def test_an_answer_holds_no_number_that_json_lacks(build, ask):
    shop = SmallShop()
    value = {1: np.nan, 2: 0.5, 3: -2.0, 4: np.inf}
    sources = [ListSource("a", [1, 2, 3, 4])]
    slate = build(shop, sources=sources, fallback=[], scorer=RowScorer(value.__getitem__)).recommend(ask(explain=True))
    told = answer(slate, shop.catalogue, explain=True)
    assert [item.score for item in told.items] == [0.5, -2.0, -2.0, -2.0]
    json.dumps(asdict(told), allow_nan=False)


def test_the_explanation_follows_every_candidate_through_the_funnel(build, ask):
    shop = SmallShop()
    shop.record("ann", "i7")
    shop.remove("i8")
    sources = [ListSource("a", [7, 3, 8, 9]), ListSource("b", [9, 2, 5])]
    slate = build(shop, sources=sources, scorer=RowScorer(float)).recommend(
        ask("ann", size=2, exclude=frozenset({"i5"}), explain=True)
    )
    told = answer(slate, shop.catalogue, explain=True)
    by_id = {c.item_id: c for c in told.explanation}
    assert list(by_id) == ["i7", "i3", "i8", "i9", "i2", "i5"]
    assert {i: (c.outcome, c.dropped_by) for i, c in by_id.items()} == {
        "i7": ("dropped", "filtering/seen"),
        "i8": ("dropped", "filtering/available"),
        "i5": ("dropped", "filtering/excluded"),
        "i9": ("shown", None),
        "i3": ("shown", None),
        "i2": ("reserve", None),
    }
    nine = by_id["i9"]
    assert (nine.source, nine.retrieval_position, nine.position, nine.reason, nine.score) == ("a", 3, 0, "ranked", 9.0)
    assert nine.features == {"row": 9.0}
    assert nine.probabilities == {"interaction": 9.0}
    assert by_id["i7"].features == {}
    assert by_id["i7"].score is None
    assert by_id["i7"].retrieval_score == pytest.approx(1.0)


def test_the_explanation_says_how_likely_each_shown_item_was(build, ask):
    shop = SmallShop(settings=Settings(reranking=RerankingSettings(exploration=0.1)))
    shop.put("new", created_at=NOW)
    sources = [ListSource("a", [0, 1, 2, 3, 40])]
    slate = build(shop, sources=sources, scorer=RowScorer(lambda row: 50.0 - row)).recommend(ask(size=3, explain=True))
    told = {c.item_id: c.propensity for c in answer(slate, shop.catalogue, explain=True).explanation}
    explored = slate.reasons[-1] == "explored"
    last = {"new": 0.1} if explored else {"i2": 0.9}
    assert {name: value for name, value in told.items() if value is not None} == {"i0": 1.0, "i1": 1.0, **last}

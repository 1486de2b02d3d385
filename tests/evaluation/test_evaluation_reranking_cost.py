"""Each rule is priced alone, over what was ranked: no model runs again, and what a rule does shows in its row."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from slatewise.domain.candidate import Candidates
from slatewise.domain.history import EMPTY_HISTORY
from slatewise.domain.settings import BoostSettings, PinSettings, RerankingSettings
from slatewise.domain.slate import Slate
from slatewise.evaluation.cases import Case
from slatewise.evaluation.measure import Items, K
from slatewise.evaluation.reranking_cost import WHAT_IF, RankedCase, price_rules, rules_of
from slatewise.evaluation.reranking_table import costs_table
from slatewise.reranking.compose import SlateReranker
from slatewise.testing.small_shop import DAY_S, NOW, SmallShop, item_vectors

RANKED = 30
CASES = 40


def vectors_of(rows):
    """Return vectors of which the first ten are alike."""
    alike = np.tile(np.array([[1, 0, 0, 0]], np.float32), (len(rows), 1))
    return np.where((rows < 10)[:, None], alike, item_vectors(rows))


@pytest.fixture(scope="module")
def shop():
    made = SmallShop()
    for row in range(20, RANKED):  # what is new stands behind the slate
        made.put(f"i{row}", categories=(f"c{row % 4}",), created_at=NOW - DAY_S)
    for row in range(10):
        made.put(f"i{row}", categories=("c0",), created_at=NOW - 400 * DAY_S)
    return made


def ranked_cases(targets):
    def case(user):
        target = np.array([targets[user % len(targets)]])
        return Case(user=user, user_id=f"u{user}", at=NOW, offset=user, history=EMPTY_HISTORY, targets=target)

    ranked = Candidates.of("all", np.arange(RANKED), np.linspace(1.0, 0.5, RANKED, dtype=np.float32))
    return [RankedCase(case(user), NOW, ranked) for user in range(CASES)]


@pytest.fixture(scope="module")
def priced(shop):
    def price(settings, targets=(0, 3, 9)):
        def make(rules):
            return SlateReranker(rules, shop.catalogue, vectors_of, np.random.default_rng(0), look_ahead=100)

        rows = np.arange(len(shop.catalogue))
        items = Items(n_items=rows.size, vectors=vectors_of(rows), category=shop.catalogue.codes("categories"))
        costs = price_rules(
            ranked_cases(targets),
            settings,
            make,
            items,
            shop.catalogue.created_at,
            np.random.default_rng(1),
            split="time",
        )
        return costs, {rule.rule: rule for rule in costs.rules}

    return price


def test_rules_of_the_settings_are_priced_alone_and_together_and_the_others_as_what_if(priced):
    settings = RerankingSettings(
        diversity=0.2,
        cap=3,
        pins=(PinSettings("i25", 0),),
        boosts=(BoostSettings(where={"categories": "c1"}, factor=9.0),),
        exploration=0.5,
    )
    costs, rules = priced(settings)
    of_settings = ["diversity 0.2", "cap 3", "boosts (1)", "pins (1)", "exploration 0.5", "all as set"]
    assert list(rules) == ["ranked order", *of_settings, *WHAT_IF]
    assert [name for name, rule in rules.items() if rule.is_set] == of_settings
    assert (costs.cases, costs.split, costs.attribute) == (CASES, "time", "categories")
    alone = rules_of(settings)["pins (1)"]
    assert alone == RerankingSettings(pins=settings.pins)
    assert list(rules_of(RerankingSettings())) == []
    assert list(rules_of(RerankingSettings(cap=1))) == ["cap 1"]


def test_the_ranked_order_costs_nothing_and_has_the_ndcg_that_its_hits_give(priced):
    _, rules = priced(RerankingSettings(), targets=(0, 3, 15))
    base = rules["ranked order"]
    places = [0, 3, None]  # the third target stands behind the slate
    gains = [0.0 if places[u % 3] is None else 1 / np.log2(places[u % 3] + 2) for u in range(CASES)]
    assert base.ndcg == pytest.approx(np.mean(gains))
    assert (base.difference, base.low, base.high, base.changed, base.new) == (0.0, 0.0, 0.0, 0.0, 0.0)
    assert base.distinct == 1.0


def test_each_rule_buys_what_it_is_for_and_its_price_is_in_its_row(priced):
    settings = RerankingSettings(pins=(PinSettings("i25", 0),))
    _, rules = priced(settings, targets=(9,))
    base = rules["ranked order"]
    assert rules["diversity 0.3"].diversity > base.diversity
    assert rules["cap 2"].distinct == 4.0 > base.distinct
    always, sometimes = rules["exploration 1.0"], rules["exploration 0.1"]
    assert always.new == pytest.approx(1 / K)
    assert always.ndcg == 0.0 < base.ndcg, "the target stood in the place that was given away"
    assert always.difference == pytest.approx(-base.ndcg)
    assert always.high < 0
    assert always.changed == 1.0
    assert 0.0 < sometimes.changed < 0.5
    assert rules["pins (1)"].difference == pytest.approx(-base.ndcg), "a pin pushes the last one out"


def test_a_boost_on_what_is_wanted_earns_and_its_interval_says_so(priced):
    settings = RerankingSettings(boosts=(BoostSettings(where={"categories": "c3"}, factor=50.0),))
    _, rules = priced(settings, targets=(11,))
    assert rules["boosts (1)"].ndcg == 1.0
    assert rules["boosts (1)"].low > 0


def test_the_ranked_order_is_found_again_in_a_slate_that_was_composed():
    retrieved = Candidates.of("a", np.array([7, 3, 9, 1, 5]), np.ones(5, np.float32))
    scores = {7: 0.5, 3: 0.9, 9: 0.5, 1: np.nan, 5: 0.7}

    def of(rows):
        found = retrieved.take(np.array([[7, 3, 9, 1, 5].index(row) for row in rows]))
        return found.scored(np.array([scores[row] for row in rows], np.float32))

    slate = Slate(
        request_id="r",
        bundle="b",
        version=0,
        shown=of([9, 3]),
        reserve=of([1, 5, 7]),
        dropped=(),
        retrieved=retrieved,
    )
    case = ranked_cases((0,))[0].case
    ranked = RankedCase.of(case, NOW, slate).ranked
    assert ranked.row.tolist() == [3, 5, 7, 9, 1], "by score, ties in the order of retrieval, broken scores last"
    assert ranked.score[:4].tolist() == pytest.approx([0.9, 0.7, 0.5, 0.5])


def test_the_price_list_has_a_table_and_a_json_without_nan(priced):
    costs, _ = priced(RerankingSettings(cap=2))
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(costs_table(costs))
    text = console.export_text()
    assert all(rule.rule in text for rule in costs.rules)
    unmeasured = replace(costs, rules=(replace(costs.rules[0], diversity=float("nan")), *costs.rules[1:]))
    assert json.loads(json.dumps(unmeasured.to_json(), allow_nan=False))["rules"][0]["diversity"] is None
    told = json.loads(json.dumps(costs.to_json(), allow_nan=False))
    assert [rule["rule"] for rule in told["rules"]] == [rule.rule for rule in costs.rules]

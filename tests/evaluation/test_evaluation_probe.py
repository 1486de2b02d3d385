"""Variants of the read line, asked beside it: over a shop whose exact neighbours are known."""

import io
import json
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from slatewise.domain.columns import Interactions
from slatewise.domain.history import History
from slatewise.domain.holdout import held_out, time_cut
from slatewise.domain.query import Query
from slatewise.domain.settings import Settings
from slatewise.domain.slate import Slate
from slatewise.evaluation.cases import Case, time_cases
from slatewise.evaluation.decompose import decompose
from slatewise.evaluation.decomposition import Decomposition
from slatewise.evaluation.decomposition_table import decomposition_tables
from slatewise.evaluation.decomposition_words import sentences, steps
from slatewise.evaluation.evaluate import evaluate
from slatewise.evaluation.html import page
from slatewise.evaluation.measure import Items
from slatewise.evaluation.probe import CURVE, EXACT, POPULAR, Probe, places
from slatewise.evaluation.replay import Recommend, replay
from slatewise.filtering.seen import SeenFilter
from slatewise.ports.index import VectorIndex
from slatewise.ports.stages import Source
from slatewise.ranking.retrieval_scorer import RetrievalScorer
from slatewise.reranking.compose import SlateReranker
from slatewise.retrieval.two_tower import TwoTowerSource
from slatewise.serving.recommender import Recommender
from slatewise.serving.resolve import QueryResolver
from slatewise.serving.stages import Stages
from slatewise.testing.small_shop import DIM, NOW, FakeClock, MatrixIndex, SmallShop, item_vectors
from slatewise.testing.stages import RowScorer

ITEMS = 650
RANKS = (3, 40, 51, 99, 101, 150, 250, 450, 550)
"""Where the wanted items stand in an exact search, 1 the nearest: known, for the cases are made from them."""


class Forgetful(MatrixIndex):
    """Never finds odd rows."""

    kind = "ivf"
    is_exact = False

    def search(self, query: np.ndarray, k: int, allow: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        found, scores = super().search(query, len(self), allow)
        return found[found % 2 == 0][:k], scores[found % 2 == 0][:k]


@dataclass
class ShopLines:
    """Lines over the shop with one source, made as wiring makes them; ranks by a wave over rows unless *plain*."""

    shop: SmallShop
    index: VectorIndex
    limit: int = 100
    plain: bool = False

    @property
    def exact(self) -> VectorIndex:
        return self.shop.index

    def line(self, source: Source) -> Recommend:
        settings = Settings(ranking=replace(Settings().ranking, limit=ITEMS))
        catalogue = self.shop.catalogue
        scorer = RetrievalScorer() if self.plain else RowScorer(lambda row: float(np.sin(row * 1.7)))
        draws = np.random.default_rng(0)
        stages = Stages(
            sources=[source],
            filters=[SeenFilter()],
            scorer=scorer,
            plain=RetrievalScorer(),
            reranker=SlateReranker(settings.reranking, catalogue, item_vectors, draws, look_ahead=100),
        )
        resolver = QueryResolver(
            settings=settings,
            catalogue=catalogue,
            users=self.shop.users,
            encode_user=self.shop.encode_user,
            dim=DIM,
            folded=self.shop.folded,
        )
        parts: dict[str, Any] = {"settings": settings, "resolver": resolver, "stages": stages}
        return Recommender(bundle="b", clock=FakeClock(1.0), **parts).recommend

    def wider(self, k: int) -> Recommend:
        return self.line(TwoTowerSource(self.index, k))

    def searching(self, index: VectorIndex) -> Recommend:
        return self.line(TwoTowerSource(index, self.limit))

    def offering(self, source: Source) -> Recommend:
        return self.line(source)


@pytest.fixture(scope="module")
def shop() -> SmallShop:
    return SmallShop(items=ITEMS)


def case(shop: SmallShop, number: int, rank: int) -> Case:
    """A user with three seen items who wants the unseen item at *rank* of an exact search."""
    past = np.array([number * 7, number * 11 + 1, number * 13 + 2], np.int64)
    history = History(past, np.zeros(3, np.int64), np.full(3, NOW))
    vector = shop.encode_user(history, {}, {})
    assert vector is not None
    order, _ = shop.index.search(vector[0], ITEMS)
    unseen = order[~np.isin(order, past)]
    return Case(number, f"u{number}", NOW + number, number, history, unseen[rank - 1 : rank])


def decomposed(shop: SmallShop, index: VectorIndex, plain: bool = False) -> tuple[Decomposition, Probe]:
    lines = ShopLines(shop, index, plain=plain)
    cases = [case(shop, number, rank) for number, rank in enumerate(RANKS)]
    popularity = np.arange(ITEMS, dtype=np.float32)
    probe = Probe(lines.searching(index), lines, popularity, np.arange(len(cases)))
    done = replay(cases, probe.recommend, shop.catalogue.ids, Settings().action_names)
    return decompose(done, probe, np.random.default_rng(0)), probe


def share_within(k: int) -> float:
    return float(np.mean([rank <= k for rank in RANKS]))


def test_recall_over_k_is_what_the_planted_ranks_say_and_never_falls(shop: SmallShop) -> None:
    told, _ = decomposed(shop, shop.index)
    assert [point.k for point in told.curve] == list(CURVE)
    assert [point.recall for point in told.curve] == pytest.approx([share_within(k) for k in CURVE])
    assert all(before.recall <= after.recall for before, after in pairwise(told.curve))
    assert [point.candidates for point in told.curve] == list(CURVE)
    assert all(point.p50_ms["total"] >= point.p50_ms["retrieval"] > 0 for point in told.curve)


def test_without_a_ranker_more_candidates_change_nothing_that_is_shown(shop: SmallShop) -> None:
    told, _ = decomposed(shop, shop.index, plain=True)
    assert {point.ndcg for point in told.curve} == {told.curve[0].ndcg}
    assert told.curve[0].ndcg == pytest.approx(0.5 / len(RANKS))  # rank 3 of nine: 1 / log2(4)


def test_through_an_exact_index_both_recalls_are_equal_and_the_report_says_so(shop: SmallShop) -> None:
    told, _ = decomposed(shop, shop.index)
    assert told.index is not None
    assert (told.index.fidelity, told.index.fidelity_p05, told.index.k) == (1.0, 1.0, 103.0)
    assert told.index.recall == told.index.recall_exact == pytest.approx(share_within(100))
    assert any(text.startswith("The index is exact: it finds 100.00% of the exact top 103") for text in sentences(told))


def test_what_an_index_misses_is_counted_by_row_and_by_target(shop: SmallShop) -> None:
    blind = Forgetful()
    blind.upsert(np.arange(ITEMS), item_vectors(np.arange(ITEMS)))
    told, probe = decomposed(shop, blind)
    check = told.index
    assert check is not None
    exact = [at.filtered for at in probe.lists[EXACT]]
    even = [float(np.mean(rows % 2 == 0)) for rows in exact]
    # The searches also hold the three blocked rows of each user, hence the tolerance.
    assert check.fidelity == pytest.approx(np.mean(even), abs=0.03)
    assert check.fidelity < 0.6
    assert check.recall_exact == pytest.approx(share_within(100))
    # Blind to odd rows, it reaches further into the even ones.
    found = 0
    for number, rank in enumerate(RANKS):
        asked = case(shop, number, rank)
        vector = shop.encode_user(asked.history, {}, {})
        assert vector is not None
        order, _ = blind.search(vector[0], ITEMS)
        found += int(asked.targets[0]) in order[~np.isin(order, asked.history.row)][:100].tolist()
    assert check.recall == pytest.approx(found / len(RANKS))
    assert check.recall != check.recall_exact
    assert any("(ivf) is approximate" in text for text in sentences(told))


def test_over_popular_candidates_the_same_ranker_shows_popular_items_only(shop: SmallShop) -> None:
    told, probe = decomposed(shop, shop.index)
    other = told.popularity_candidates
    assert other is not None
    most = np.arange(ITEMS)[::-1]
    for number, answered in enumerate(probe.lists[POPULAR]):
        seen = case(shop, number, 1).history.row
        popular = most[~np.isin(most, seen)][:100]
        assert answered.filtered.tolist() == popular.tolist()
        assert answered.ranked.tolist() == popular[np.argsort(-np.sin(popular * 1.7), kind="stable")].tolist()
    wanted = [case(shop, n, rank).targets[0] for n, rank in enumerate(RANKS)]
    held = [row in at.ranked for row, at in zip(wanted, probe.lists[POPULAR], strict=True)]
    assert other.recall == pytest.approx(np.mean(held))
    assert other.own_recall == pytest.approx(share_within(100))
    assert other.difference.difference == pytest.approx(other.own_ndcg - other.ndcg)
    assert other.own_ndcg == pytest.approx(told.curve[1].ndcg), "a hundred candidates are what the line has"


@dataclass
class Echo:
    """Lines that are all the same line."""

    recommend: Recommend
    index: VectorIndex = field(default_factory=MatrixIndex)

    @property
    def exact(self) -> VectorIndex:
        return self.index

    def wider(self, k: int) -> Recommend:
        return self.recommend

    def searching(self, index: VectorIndex) -> Recommend:
        return self.recommend

    def offering(self, source: Source) -> Recommend:
        return self.recommend


def judged(line: Any, past: Interactions, **more: Any) -> Any:
    def names(rows: np.ndarray) -> list[str]:
        return [f"user {row}" for row in rows.tolist()]

    hidden = held_out(past, "time")
    line.fold(past.take(~hidden))
    return evaluate(
        time_cases(past, time_cut(past), {0}, names, np.random.default_rng(0)),
        line.recommend,
        line.ids,
        settings=Settings(),
        training=past.take(~hidden),
        items=Items(60),
        split="time",
        rng=np.random.default_rng(0),
        upcoming=past.take(hidden),
        fold=line.fold,
        **more,
    )


def test_variants_are_asked_in_the_state_of_the_very_instant(line: Any, checkerboard: Interactions) -> None:
    report = judged(line, checkerboard, lines=Echo(line.recommend), decompose_cases=20, max_cases=50)
    states: dict[str, list[tuple[int, ...]]] = {}
    for query, folded in line.asked:
        states.setdefault(query.request_id, []).append(folded)
    times = sorted(len(told) for told in states.values())
    assert times == [1] * 30 + [1 + 2 + len(CURVE)] * 20
    assert all(set(told) == {told[0]} for told in states.values())
    assert report.decomposition.cases == 20
    assert any("20 of the 50 cases" in note for note in report.notes)


def test_the_other_figures_are_the_same_with_and_without_a_decomposition(line: Any, checkerboard: Interactions) -> None:
    plain = judged(line, checkerboard, max_cases=50)
    other = type(line)()
    whole = judged(other, checkerboard, lines=Echo(type(line)().recommend), decompose_cases=20, max_cases=50)
    before, after = plain.to_json(), whole.to_json()
    for part in ("stages", "baselines", "bootstrap", "cold", "warm", "new", "lost"):
        assert before[part] == after[part]
    assert plain.decomposition.oracle == whole.decomposition.oracle
    assert (plain.decomposition.cases, plain.decomposition.curve) == (0, ())


def test_degraded_variants_are_told(line: Any, checkerboard: Interactions) -> None:
    def broken(query: Query) -> Slate:
        return replace(type(line)().recommend(query), degraded=("ranking/model: broken",))

    report = judged(line, checkerboard, lines=Echo(broken), decompose_cases=2, max_cases=5)
    assert any("12 slates of other lines were degraded" in note for note in report.notes)


def test_places_are_drawn_without_replacement_and_in_order() -> None:
    drawn = places(1000, 50, np.random.default_rng(0))
    assert drawn.size == np.unique(drawn).size == 50
    assert (np.diff(drawn) > 0).all()
    assert places(7, 50, np.random.default_rng(0)).tolist() == list(range(7))


def test_json_page_and_table_hold_the_decomposition(line: Any, checkerboard: Interactions) -> None:
    report = judged(line, checkerboard, lines=Echo(line.recommend), decompose_cases=20, max_cases=50)
    told = json.loads(json.dumps(report.to_json(), allow_nan=False))["decomposition"]
    assert set(told) == {"oracle", "cases", "index", "popularity_candidates", "curve"}
    assert [point["k"] for point in told["curve"]] == [50, 100, 200, 500]
    for point in told["curve"]:
        assert set(point) >= {"k", "ndcg@10", "recall", "p50_ms"}
        assert set(point["p50_ms"]) == {"retrieval", "ranking", "total"}
    assert told["index"]["recall@100"] == told["index"]["recall@100_exact"]
    text = page(report)
    assert text.count("<svg") == 8
    assert "Where the quality is lost" in text
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(*decomposition_tables(report))
    shown = console.export_text()
    assert "…" not in shown
    for word in ("perfect ranker", "history < 5", "new users", "best baseline", "500"):
        assert word in shown


def test_steps_add_up_to_the_ceiling(line: Any, checkerboard: Interactions) -> None:
    report = judged(line, checkerboard)
    told = steps(report)
    assert [step.name for step in told] == [
        "popularity",
        "order of retrieval",
        "ranker = final slate",
        "perfect ranker",
    ]
    assert told[0].ndcg + sum(step.added for step in told[1:]) == pytest.approx(report.decomposition.oracle.ndcg)
    moved = replace(report, stages=dict(report.stages) | {"final": {"ndcg@10": 0.9, "hr@10": 1.0}})
    assert [step.name for step in steps(moved)][2:4] == ["ranker", "final slate"]


def test_a_ranker_behind_retrieval_is_called_that(line: Any, checkerboard: Interactions) -> None:
    told = judged(line, checkerboard).decomposition
    behind = replace(told, oracle=replace(told.oracle, ranker_share=-0.25))
    assert "fell behind the order of retrieval, by 25.0%" in sentences(behind)[0]
    assert "already" in sentences(replace(told, oracle=replace(told.oracle, ranker_share=float("nan"))))[0]


def test_candidates_without_any_search_say_so(shop: SmallShop) -> None:
    told, _ = decomposed(shop, shop.index)
    assert told.index is not None
    unsearched = replace(told, index=replace(told.index, searched=0))
    assert any("never searched" in text for text in sentences(unsearched))

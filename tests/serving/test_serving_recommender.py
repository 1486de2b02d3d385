import numpy as np
import pytest

from slatewise.domain.errors import NotReady, StageFailed
from slatewise.domain.settings import RankingSettings, RerankingSettings, Settings
from slatewise.ports.stages import Arrangement
from slatewise.testing.small_shop import FakeClock, SmallShop
from slatewise.testing.stages import ListSource, RowScorer


class Broken:
    limit = 10

    def __init__(self, name):
        self.name = name

    def fail(self, *_):
        raise RuntimeError("secret")

    keep = score = arrange = retrieve = fail


class Answers:
    """A stage that gives a fixed decision."""

    name = "fixed"

    def __init__(self, decision):
        self._decision = decision

    def decide(self, *_):
        return self._decision

    keep = score = arrange = decide


def parts(slate):
    return [slate.shown.row, slate.reserve.row, *(d.candidates.row for d in slate.dropped)]


def assert_partition(slate):
    rows = np.concatenate(parts(slate)).tolist()
    assert sorted(rows) == sorted(slate.retrieved.row.tolist())
    assert len(rows) == len(set(rows))


def test_a_user_gets_a_full_slate_of_unseen_items_best_first(build, ask):
    shop = SmallShop()
    for i in (1, 5, 9):
        shop.record("ann", f"i{i}")
    slate = build(shop).recommend(ask("ann"))
    assert len(slate.shown) == 5
    assert not set(slate.shown.row.tolist()) & {1, 5, 9}
    assert np.all(np.diff(slate.shown.score) <= 0)
    assert (slate.degraded, slate.cached, slate.bundle, slate.version) == ((), False, "b1", shop.offset)
    assert slate.reasons == ("ranked",) * 5
    assert_partition(slate)


def test_every_stage_is_timed(build, ask):
    slate = build(SmallShop(), clock=FakeClock(tick_ms=0.1)).recommend(ask())
    assert list(slate.timing_ms) == ["user", "retrieval", "filtering", "ranking", "reranking", "total"]
    stages = sum(ms for stage, ms in slate.timing_ms.items() if stage != "total")
    assert 0 < stages < slate.timing_ms["total"]


def test_a_failing_source_fails_alone(build, ask):
    sources = [Broken("two_tower"), ListSource("trending", range(12))]
    slate = build(SmallShop(), sources=sources).recommend(ask())
    assert len(slate.shown) == 5
    assert slate.degraded == ("retrieval/two_tower: RuntimeError",)


def test_our_own_errors_are_told_in_full_and_foreign_ones_by_class(build, ask):
    sources = [ListSource("a", [], error=StageFailed("retrieval", "a", "index is empty")), ListSource("b", range(9))]
    slate = build(SmallShop(), sources=sources).recommend(ask())
    assert slate.degraded == ("retrieval/a: index is empty",)


def test_no_source_at_all_no_answer(build, ask):
    with pytest.raises(NotReady):
        build(SmallShop(), sources=[Broken("a"), Broken("b")], popular=[Broken("c")]).recommend(ask())


def test_sources_that_find_nothing_leave_it_to_the_fallback(build, ask):
    slate = build(SmallShop(), sources=[ListSource("a", [])]).recommend(ask())
    assert len(slate.shown) == 5
    assert slate.degraded == ()


def test_a_failing_fallback_does_not_cost_the_answer(build, ask):
    slate = build(SmallShop(), sources=[ListSource("a", [3])], fallback=[Broken("any")]).recommend(ask())
    assert slate.shown.row.tolist() == [3]
    assert slate.degraded == ("retrieval/any: RuntimeError",)


def test_without_the_ranker_the_order_of_retrieval_stands(build, ask):
    sources = [ListSource("a", [7, 3, 9]), ListSource("b", [2, 3, 8])]
    for scorer in (Broken("model"), Answers(RowScorer(float).score(None, ListSource("c", [1]).retrieve(None, 1)))):
        slate = build(SmallShop(), sources=sources, scorer=scorer).recommend(ask())
        assert slate.shown.row.tolist() == [7, 3, 9, 2, 8]
        assert len(slate.degraded) == 1
        assert slate.degraded[0].startswith(f"ranking/{scorer.name}: ")


def test_without_the_reranker_the_ranked_order_stands(build, ask):
    whole = build(SmallShop()).recommend(ask())
    unsound = [Arrangement(np.array(at), ("ranked",) * len(at)) for at in ([0, 0], [-1], [99], [0, 1, 2, 3, 4, 5])]
    at, ranked = np.array([3, 1]), ("ranked",) * 2
    for likely in ([1.0], [0.0, 1.0], [1.0, 1.5], [np.nan, 1.0]):
        unsound.append(Arrangement(at, ranked, np.array(likely, np.float32)))
    for order in ([0, 1], [0] * 40):
        unsound.append(Arrangement(at, ranked, order=np.array(order)))
    for reranker in (Broken("compose"), *map(Answers, unsound), Answers(Arrangement(np.array([1]), ()))):
        slate = build(SmallShop(), reranker=reranker).recommend(ask())
        assert np.array_equal(slate.shown.row, whole.shown.row)
        assert slate.degraded[0].startswith(f"reranking/{reranker.name}: ")
        assert slate.propensities() == (1.0,) * 5


def test_a_reranker_need_not_tell_propensities(build, ask):
    slate = build(SmallShop(), reranker=Answers(Arrangement(np.array([3, 1]), ("ranked",) * 2))).recommend(ask())
    assert slate.degraded == ()
    assert (slate.propensity, slate.propensities(), slate.explored_from) == (None, None, 0)


def test_without_the_user_tower_the_other_sources_answer(build, ask):
    shop = SmallShop()
    shop.record("ann", "i3")
    not_finite = np.full((1, 4), np.nan, np.float32)
    for encode in (Broken("tower").fail, lambda *_: not_finite, lambda *_: not_finite[:, :2]):
        slate = build(shop, encode_user=encode).recommend(ask("ann"))
        assert len(slate.shown) == 5
        assert slate.degraded[0].startswith("user/tower: ")


def test_a_failing_filter_lets_nothing_pass(build, ask):
    wrong_length = Answers(np.ones(2, np.bool_))
    for rule in (Broken("seen"), wrong_length, Answers(np.ones(40))):
        slate = build(SmallShop(), filters=[rule]).recommend(ask())
        assert len(slate.shown) == len(slate.reserve) == 0
        assert slate.degraded[0].startswith(f"filtering/{rule.name}: ")
        assert_partition(slate)


def test_scores_that_are_not_finite_sink_and_ties_keep_the_order_of_retrieval(build, ask):
    value = {7: np.inf, 3: 0.5, 9: np.nan, 2: 0.5, 8: -np.inf, 6: 0.9}
    slate = build(SmallShop(), sources=[ListSource("a", list(value))], scorer=RowScorer(value.__getitem__)).recommend(
        ask(size=6)
    )
    assert slate.shown.row.tolist() == [6, 3, 2, 7, 9, 8]


def test_candidates_beyond_the_limit_of_ranking_are_dropped_by_name(build, ask):
    shop = SmallShop(settings=Settings(ranking=RankingSettings(limit=7)))
    slate = build(shop, sources=[ListSource("a", range(20))]).recommend(ask())
    assert [(d.component, d.candidates.row.tolist()) for d in slate.dropped] == [("ranking/limit", list(range(7, 20)))]
    assert_partition(slate)


def test_a_slate_larger_than_the_limit_of_ranking_is_still_full(build, ask):
    shop = SmallShop(settings=Settings(ranking=RankingSettings(limit=7)))
    assert len(build(shop).recommend(ask(size=30)).shown) == 30


def test_a_source_gets_room_for_what_is_blocked_and_no_more(build, ask):
    shop = SmallShop()
    for i in range(6):
        shop.record("ann", f"i{i}")
    sources = [ListSource("a", range(40), limit=4), ListSource("b", range(39, -1, -1), limit=3)]
    slate = build(shop, sources=sources, scorer=RowScorer(lambda row: 1.0)).recommend(ask("ann"))
    assert [*slate.shown.row.tolist(), *slate.reserve.row.tolist()] == [6, 7, 8, 9, 39, 38, 37]
    assert slate.retrieved.row.tolist() == [*range(10), 39, 38, 37]


def test_a_user_who_has_seen_nearly_all_still_gets_all_that_is_left(build, ask):
    shop = SmallShop()
    for i in range(34):
        shop.record("ann", f"i{i}")
    shop.remove("i39")
    slate = build(shop).recommend(ask("ann"))
    assert sorted(slate.shown.row.tolist()) == [34, 35, 36, 37, 38]
    assert slate.degraded == ()
    assert_partition(slate)


def test_a_slate_is_full_while_the_catalogue_allows_even_if_no_source_knows_the_items(build, ask):
    sources = [ListSource("trending", [1, 2])]
    slate = build(SmallShop(), sources=sources).recommend(ask(size=38, exclude=frozenset({"i1", "i30"})))
    assert len(slate.shown) == 38
    assert not set(slate.shown.row.tolist()) & {1, 30}
    assert slate.retrieved.sources == ("trending", "any_available")
    assert_partition(slate)


def test_a_version_not_reached_is_admitted(build, ask):
    shop = SmallShop()
    assert build(shop).recommend(ask(min_version=shop.offset)).degraded == ()
    slate = build(shop).recommend(ask(min_version=shop.offset + 3))
    assert slate.degraded == ("min_version: reflects 40, not yet 43",)


def test_explain_keeps_what_the_ranker_saw_in_ranked_order(build, ask):
    slate = build(SmallShop()).recommend(ask(explain=True))
    assert slate.evidence.row[:5].tolist() == slate.shown.row.tolist()
    assert slate.evidence.features[:, 0].tolist() == slate.evidence.row.tolist()
    assert np.all(np.diff(slate.evidence.probabilities["interaction"]) <= 0)
    assert build(SmallShop()).recommend(ask()).evidence is None


def test_pins_and_caps_hold_on_the_slate(build, ask):
    shop = SmallShop(settings=Settings(reranking=RerankingSettings(cap=1)))
    slate = build(shop).recommend(ask(size=4))
    assert sorted(slate.shown.row % 4) == [0, 1, 2, 3]
    assert_partition(slate)


class Slow:
    """Wraps a stage and lets time pass when it works."""

    def __init__(self, stage, clock, ms):
        self._stage, self._clock, self._ms = stage, clock, ms
        self.name, self.limit = stage.name, getattr(stage, "limit", 0)

    def __getattr__(self, verb):
        def work(*inputs):
            self._clock.ms += self._ms
            return getattr(self._stage, verb)(*inputs)

        return work


def test_when_the_first_source_takes_all_the_time_the_rest_is_skipped_but_no_filter(build, ask):
    shop, clock = SmallShop(), FakeClock()
    shop.record("ann", "i7")
    sources = [Slow(ListSource("slow", [7, 3, 9]), clock, 60), ListSource("late", [1, 2])]
    slate = build(shop, clock=clock, sources=sources).recommend(ask("ann", deadline_ms=50))
    assert slate.shown.row.tolist() == [3, 9]
    assert slate.degraded == (
        "retrieval/late: deadline",
        "retrieval: deadline",
        "ranking: deadline",
        "reranking: deadline",
    )
    assert [d.component for d in slate.dropped] == ["filtering/seen"]


def test_a_late_source_that_found_nothing_does_not_end_retrieval(build, ask):
    clock = FakeClock()
    sources = [Slow(ListSource("slow", []), clock, 60), ListSource("late", range(9))]
    slate = build(SmallShop(), clock=clock, sources=sources).recommend(ask(deadline_ms=50))
    assert len(slate.shown) == 5


def test_when_ranking_takes_all_the_time_only_reranking_is_skipped(build, ask):
    clock = FakeClock()
    shop = SmallShop(settings=Settings(reranking=RerankingSettings(cap=1)))
    scorer = Slow(RowScorer(float), clock, 300)
    slate = build(shop, clock=clock, scorer=scorer).recommend(ask())
    assert slate.degraded == ("reranking: deadline",)
    assert slate.shown.row.tolist() == [39, 38, 37, 36, 35]
    assert slate.timing_ms["ranking"] == 300


def test_the_query_may_give_more_time_than_the_settings(build, ask):
    clock = FakeClock()
    scorer = Slow(RowScorer(float), clock, 300)
    assert build(SmallShop(), clock=clock, scorer=scorer).recommend(ask(deadline_ms=400)).degraded == ()


@pytest.mark.parametrize(("deadline_ms", "says"), [(40, ("ranking: small ranker, little time left",)), (400, ())])
def test_the_quick_scorer_ranks_where_little_time_is_left_and_the_answer_says_so(build, ask, deadline_ms, says):
    shop = SmallShop()
    rising, falling = RowScorer(float), RowScorer(lambda row: -float(row))
    line = build(shop, clock=FakeClock(), scorer=rising, quick=falling, quick_below_ms=50.0)
    slate = line.recommend(ask(deadline_ms=deadline_ms))
    assert slate.degraded == says
    direction = -1 if says else 1
    assert np.all(np.diff(slate.shown.row) * -direction > 0)


def test_a_line_that_ranks_by_the_quick_scorer_alone_is_not_degraded_by_it(build, ask):
    quick = RowScorer(float)
    line = build(SmallShop(), scorer=quick, quick=quick, quick_below_ms=1e9)
    assert line.recommend(ask()).degraded == ()

"""The ladder full -> small ranker -> order of retrieval -> kept slate -> popular, walked by real failures and slowness.
Filters hold on every rung, and the answer says what it went without."""

import time
from dataclasses import replace

import numpy as np
import pytest

from slatewise.domain.errors import NotReady, StageFailed
from slatewise.telemetry.clock import SystemClock
from slatewise.testing.small_shop import FakeClock, SmallShop
from slatewise.testing.stages import ListSource, RowScorer


class Breakable:
    """A stage that works until it is told to fail or to take its time."""

    def __init__(self, stage, clock=None):
        self.stage, self.clock = stage, clock
        self.name, self.limit = stage.name, getattr(stage, "limit", 0)
        self.is_broken, self.takes_ms, self.calls = False, 0.0, 0

    def __getattr__(self, verb):
        def work(*inputs):
            self.calls += 1
            if self.takes_ms:
                if isinstance(self.clock, FakeClock):
                    self.clock.ms += self.takes_ms
                else:
                    time.sleep(self.takes_ms / 1000.0)
            if self.is_broken:
                raise RuntimeError("secret")
            return getattr(self.stage, verb)(*inputs)

        return work


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def shop():
    shop = SmallShop()
    shop.record("ann", "i3")
    for item in ("i1", "i1", "i1", "i2", "i2", "i30"):
        shop.record("bob", item, "view")
    shop.put("i2", available=False)
    return shop


class Line:
    def __init__(self, build_cached, shop, clock):
        self.source = Breakable(ListSource("near", [30, 7, 3, 9, 2, 12, 1, 20, 25, 6]), clock)
        self.ranker = Breakable(RowScorer(float), clock)
        self.small = Breakable(RowScorer(lambda row: -float(row)), clock)
        self.recommend = build_cached(
            shop,
            clock=clock,
            sources=[self.source],
            scorer=self.ranker,
            quick=self.small,
            quick_below_ms=3.0,
            fallback=[],
        ).recommend


@pytest.fixture
def line(build_cached, shop, clock):
    return Line(build_cached, shop, clock)


def rows(slate):
    return slate.shown.row.tolist()


def test_with_time_and_no_failure_the_full_line_answers(line, ask):
    slate = line.recommend(ask("ann"))
    assert (slate.rung, slate.degraded, rows(slate)) == ("full", (), [30, 25, 20, 12, 9])


def test_a_failing_ranker_leaves_it_to_the_small_one(line, ask):
    line.ranker.is_broken = True
    slate = line.recommend(ask("ann"))
    assert (slate.rung, rows(slate)) == ("small", [1, 6, 7, 9, 12])
    assert slate.degraded == ("ranking/row: RuntimeError", "ranking: small ranker")


def test_a_ranker_that_is_slow_for_good_is_left_out_and_deadlines_hold_again(line, ask):
    line.recommend(ask("ann"))
    line.ranker.takes_ms = 300.0
    slates = [line.recommend(ask("ann", request_id=f"r{i}", exclude=frozenset({f"x{i}"}))) for i in range(30)]
    assert slates[0].timing_ms["total"] >= 300.0
    assert all(slate.timing_ms["total"] < 200.0 for slate in slates[-10:])
    assert {slate.rung for slate in slates[-10:]} == {"small"}
    assert slates[-1].degraded == ("ranking: small ranker, little time left",)
    line.ranker.takes_ms = 0.0
    slates = [line.recommend(ask("ann", exclude=frozenset({f"y{i}"}))) for i in range(70)]
    assert slates[-1].rung == "full"


def test_without_either_ranker_the_order_of_retrieval_stands(line, ask):
    line.ranker.is_broken = line.small.is_broken = True
    slate = line.recommend(ask("ann"))
    assert (slate.rung, rows(slate)) == ("retrieval", [30, 7, 9, 12, 1])


def test_where_retrieval_fails_the_kept_slate_serves_under_todays_filters(line, shop, ask):
    first = line.recommend(ask("ann"))
    shop.record("ann", "i25", "buy")
    shop.put("i20", available=False)
    line.source.is_broken = True
    slate = line.recommend(ask("ann", request_id="r2"))
    assert slate.rung == "cached"
    assert rows(slate) == [30, 12, 9, 7, 6]
    assert slate.cached
    assert slate.version == first.version < shop.offset
    assert slate.degraded == ("retrieval/near: RuntimeError", f"slate: kept, of version {first.version}")
    assert slate.request_id == "r2"


def test_a_slate_far_too_old_still_serves_where_there_is_nothing_else(line, clock, ask):
    line.recommend(ask("ann"))
    clock.ms += 3_600_000.0
    line.source.is_broken = True
    assert line.recommend(ask("ann")).rung == "cached"


def test_what_was_kept_for_somebody_before_they_were_forgotten_never_serves(line, shop, ask):
    line.recommend(ask("ann"))
    shop.offset += 1
    del shop.users.states["ann"]
    shop.record("ann", "i9", "buy")
    shop.users.states["ann"] = replace(shop.users.states["ann"], since=shop.offset)
    line.source.is_broken = True
    assert line.recommend(ask("ann")).rung == "popular"


def test_where_nothing_is_kept_what_many_touch_serves_and_then_whatever_there_is(line, ask):
    line.source.is_broken = True
    slate = line.recommend(ask("ann", exclude=frozenset({"i39"})))
    assert slate.rung == "popular"
    # i1 and i30 were touched, i2 is not available, i3 is seen, i39 is excluded; the newest come first.
    assert rows(slate) == [1, 30, 38, 37, 36]
    assert slate.degraded == ("retrieval/near: RuntimeError", "slate: popular")
    assert slate.shown.sources == ("trending", "any_available")
    assert not slate.cached


def test_conditions_hold_on_the_last_rung(line, ask):
    line.source.is_broken = True
    slate = line.recommend(ask("ann", where={"categories": "c1"}))
    assert len(slate.shown) == 5
    assert set(slate.shown.row % 4) == {1}


def test_a_broken_filter_shows_nothing_on_any_rung(build_cached, shop, ask):
    class Broken:
        name = "seen"

        def keep(self, query, candidates):
            raise StageFailed("filtering", "seen", "no verdict")

    broken_source = ListSource("near", [], error=RuntimeError())
    for sources in ([ListSource("near", range(40))], [broken_source]):
        slate = build_cached(shop, sources=sources, filters=[Broken()]).recommend(ask("ann"))
        assert len(slate.shown) == len(slate.reserve) == 0
        assert "filtering/seen: no verdict" in slate.degraded


def test_every_candidate_of_the_popular_rung_is_accounted_for(line, ask):
    line.source.is_broken = True
    slate = line.recommend(ask("ann"))
    parts = [slate.shown.row, slate.reserve.row, *(d.candidates.row for d in slate.dropped)]
    assert sorted(np.concatenate(parts).tolist()) == sorted(slate.retrieved.row.tolist())


def test_slates_of_lower_rungs_are_not_kept(line, ask):
    line.source.is_broken = True
    line.recommend(ask("ann"))
    line.source.is_broken = False
    slate = line.recommend(ask("ann"))
    assert (slate.rung, slate.cached) == ("full", False)


def test_pages_behind_a_lower_rung_say_so(line, ask):
    line.source.is_broken = True
    first = line.recommend(ask("ann"))
    second = line.recommend(ask("ann", cursor=first.cursor))
    assert second.rung == "popular"
    assert second.degraded == ("slate: goes on from a first page of the rung 'popular'",)
    assert not set(rows(first)) & set(rows(second))


def test_where_everything_fails_there_is_no_answer(build_cached, shop, ask):
    broken = ListSource("near", [], error=RuntimeError())
    with pytest.raises(NotReady):
        build_cached(shop, sources=[broken], popular=[broken]).recommend(ask("ann"))


def test_a_slow_source_loses_its_turn_on_a_real_clock_and_the_deadline_holds(build_cached, shop, ask):
    clock = SystemClock()
    line = Line(build_cached, shop, clock)
    line.source.takes_ms = 40.0
    for i in range(12):
        line.recommend(ask("ann", deadline_ms=2_000, exclude=frozenset({f"x{i}"})))
    calls = line.source.calls
    slate = line.recommend(ask("ann", deadline_ms=30))
    assert line.source.calls == calls
    assert slate.rung == "popular"
    assert {"retrieval/near: deadline", "slate: popular"} <= set(slate.degraded)
    assert {3, 2} & set(rows(slate)) == set()

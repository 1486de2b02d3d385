import threading
from dataclasses import replace

import numpy as np
import pytest

from slatewise.domain.query import PastAction
from slatewise.domain.settings import (
    BoostSettings,
    CacheSettings,
    PinSettings,
    RerankingSettings,
    ServingSettings,
    Settings,
)
from slatewise.serving.cache import ResultCache
from slatewise.serving.canonical import canonical
from slatewise.testing.small_shop import DAY_S, DIM, NOW, FakeClock, SmallShop
from slatewise.testing.stages import ListSource, RowScorer


@pytest.fixture
def shop():
    shop = SmallShop()
    shop.record("ann", "i3")
    shop.record("bob", "i4")
    return shop


def rows(slate):
    return slate.shown.row.tolist()


def test_the_same_question_is_answered_from_the_cache_with_the_same_slate(build_cached, shop, ask):
    recommender = build_cached(shop)
    fresh = recommender.recommend(ask("ann"))
    again = recommender.recommend(ask("ann", request_id="r2"))
    assert (fresh.cached, again.cached) == (False, True)
    assert rows(again) == rows(fresh)
    assert np.array_equal(again.shown.score, fresh.shown.score)
    assert again.reasons == fresh.reasons
    assert again.request_id == "r2"
    assert again.version == fresh.version
    assert set(again.timing_ms) == {"user", "filtering", "reranking", "total"}


def test_the_user_tower_does_not_run_on_a_hit(build_cached, shop, ask):
    encoded = []
    recommender = build_cached(shop, encode_user=lambda *inputs: encoded.append(inputs))
    recommender.recommend(ask("ann"))
    recommender.recommend(ask("ann"))
    assert len(encoded) == 1


def test_an_event_of_the_user_makes_the_next_answer_fresh_and_leaves_others_cached(build_cached, shop, ask):
    recommender = build_cached(shop)
    before = recommender.recommend(ask("ann"))
    recommender.recommend(ask("bob"))
    shop.record("ann", shop.catalogue.ids(before.shown.row)[0])
    after = recommender.recommend(ask("ann"))
    assert not after.cached
    assert rows(before)[0] not in rows(after)
    assert recommender.recommend(ask("bob")).cached


def test_an_event_that_hides_nothing_makes_the_next_answer_fresh_too(build_cached, shop, ask):
    recommender = build_cached(shop)
    recommender.recommend(ask("ann"))
    shop.record("ann", "i20", "view")
    assert not recommender.recommend(ask("ann")).cached


def test_an_item_change_makes_every_next_answer_fresh(build_cached, shop, ask):
    recommender = build_cached(shop)
    first = recommender.recommend(ask("ann"))
    shop.remove(shop.catalogue.ids(first.shown.row)[0])
    after = recommender.recommend(ask("ann"))
    assert not after.cached
    assert rows(first)[0] not in rows(after)


def test_another_bundle_makes_the_next_answer_fresh(build, build_cached, shop, ask):
    clock = FakeClock()
    live = [build(shop, clock=clock)]
    recommender = build_cached(shop, clock=clock, live=lambda: live[0])
    recommender.recommend(ask("ann"))
    live[0] = build(shop, clock=clock, bundle="b2", scorer=RowScorer(float))
    after = recommender.recommend(ask("ann"))
    assert (after.cached, after.bundle) == (False, "b2")
    assert rows(after) == [39, 38, 37, 36, 35]


def test_other_settings_make_the_next_answer_fresh(build, build_cached, ask):
    plain, pinning = SmallShop(), SmallShop(settings=Settings(reranking=RerankingSettings(pins=(PinSettings("i7"),))))
    clock = FakeClock()
    live = [build(plain, clock=clock)]
    recommender = build_cached(plain, clock=clock, live=lambda: live[0])
    recommender.recommend(ask())
    live[0] = build(pinning, clock=clock)
    after = recommender.recommend(ask())
    assert not after.cached
    assert rows(after)[0] == 7


@pytest.mark.parametrize(
    "asked",
    [
        {"size": 6},
        {"exclude": frozenset({"i9"})},
        {"where": {"categories": "c1"}},
        {"context": {"page": "home"}},
        {"weights": {"buy": 2.5}},
        {"history": (PastAction(item_id="i3"),)},
        {"history": ()},
        {"vector": (1.0,) * DIM},
        {"user_id": "bob"},
        {"user_id": None},
        {"at": NOW + DAY_S},
        {"at": NOW - DAY_S},
    ],
)
def test_a_different_question_is_not_answered_from_the_cache(build_cached, shop, ask, asked):
    recommender = build_cached(shop)
    recommender.recommend(ask("ann"))
    different = {"user_id": "ann", **asked}
    assert not recommender.recommend(ask(**different)).cached
    assert recommender.recommend(ask(**different)).cached


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"context": {"x": 1}}, {"context": {"x": True}}),
        ({"context": {"x": 1}}, {"context": {"x": 1.0}}),
        ({"context": {"x": "1"}}, {"context": {"x": 1}}),
        ({"context": {"x": ("a", "b")}}, {"context": {"x": ("a,b",)}}),
        ({"context": {"a": "1", "b": "2"}}, {"context": {"a": "1,str b:2"}}),
        ({"context": {"surface": "home"}}, {"context": {"surface": "search"}}),
        ({"context": {"surface": "home"}}, {"context": {"device": "home"}}),
        ({"context": {"surface": "home"}}, {"context": {}}),
        ({"weights": {"buy": 1.5}}, {"weights": {"buy": 1.25}}),
        ({"weights": {"buy": 1.5}}, {"weights": {"cart": 1.5}}),
        ({"weights": {"buy": 1.5}}, {"context": {"buy": 1.5}}),
        ({"history": (PastAction(item_id="i1"),)}, {"history": (PastAction(item_id="i1", action="buy"),)}),
        ({"history": (PastAction(item_id="i1"),)}, {"history": (PastAction(item_id="i1", at=5.0),)}),
        (
            {"history": (PastAction(item_id="i1"), PastAction(item_id="i2"))},
            {"history": (PastAction(item_id="i2"), PastAction(item_id="i1"))},
        ),
    ],
)
def test_questions_that_look_alike_are_told_apart(build_cached, shop, ask, one, other):
    recommender = build_cached(shop)
    recommender.recommend(ask(**one))
    assert not recommender.recommend(ask(**other)).cached


def test_one_context_is_one_question_in_whatever_order_it_is_said(build_cached, shop, ask):
    recommender = build_cached(shop)
    recommender.recommend(ask(context={"surface": "home", "device": "app"}))
    assert recommender.recommend(ask(context={"device": "app", "surface": "home"})).cached


def test_equal_conditions_are_equal_in_any_order():
    assert canonical({"a": [1, {"x", "y"}], "b": 2.0}) == canonical({"b": 2.0, "a": [1, {"y", "x"}]})


def test_anonymous_answers_are_cached_too(build_cached, shop, ask):
    recommender = build_cached(shop)
    recommender.recommend(ask())
    assert recommender.recommend(ask()).cached


def test_a_slate_expires(build_cached, shop, ask):
    clock = FakeClock()
    recommender = build_cached(shop, clock=clock)
    recommender.recommend(ask("ann"))
    clock.ms = 59_000.0
    assert recommender.recommend(ask("ann")).cached
    clock.ms = 61_000.0
    assert not recommender.recommend(ask("ann")).cached


def test_the_least_recently_used_slate_goes_first(build_cached, ask):
    # Room for two: 40 rows of 9 bytes each, and the rest of an entry.
    shop = SmallShop(settings=Settings(cache=CacheSettings(max_bytes=2_000)))
    for user in ("ann", "bob", "cid"):
        shop.record(user, "i1")
    recommender = build_cached(shop)
    for user in ("ann", "bob", "ann", "cid"):
        recommender.recommend(ask(user))
    assert recommender.recommend(ask("ann")).cached
    assert not recommender.recommend(ask("bob")).cached


def test_zero_bytes_switch_the_cache_off(build_cached, ask):
    recommender = build_cached(SmallShop(settings=Settings(cache=CacheSettings(max_bytes=0))))
    recommender.recommend(ask())
    assert not recommender.recommend(ask()).cached
    assert len(ResultCache(CacheSettings(max_bytes=0), FakeClock())) == 0


def test_explain_is_never_answered_from_the_cache(build_cached, shop, ask):
    recommender = build_cached(shop)
    recommender.recommend(ask("ann"))
    explained = recommender.recommend(ask("ann", explain=True))
    assert not explained.cached
    assert explained.evidence is not None
    assert len(explained.evidence.row) == len(explained.shown) + len(explained.reserve)


def test_a_version_above_the_kept_slate_is_computed_and_waited_for(build_cached, shop, ask):
    waited = []
    recommender = build_cached(shop, wait=lambda version, ms: waited.append((version, ms)))
    first = recommender.recommend(ask("ann"))
    shop.record("bob", "i9")
    again = recommender.recommend(ask("ann", min_version=first.version))
    assert again.cached
    assert again.version == first.version < shop.offset
    assert not recommender.recommend(ask("ann", min_version=first.version + 1)).cached
    assert waited == [(first.version, 1000.0), (first.version + 1, 1000.0)]


def test_an_answer_that_misses_its_version_is_not_kept(build_cached, shop, ask):
    recommender = build_cached(shop)
    late = recommender.recommend(ask("ann", min_version=shop.offset + 1))
    assert late.degraded
    assert not recommender.recommend(ask("ann")).cached


def test_a_degraded_slate_is_not_kept(build_cached, shop, ask):
    broken = ListSource("two_tower", [], error=RuntimeError())
    recommender = build_cached(shop, sources=[broken, ListSource("b", range(20))])
    recommender.recommend(ask("ann"))
    assert not recommender.recommend(ask("ann")).cached


def test_exploration_is_drawn_again_on_every_hit(build_cached, ask):
    shop = SmallShop(settings=Settings(reranking=RerankingSettings(exploration=0.5)))
    for i in range(3):
        shop.put(f"new{i}", created_at=NOW)
    recommender = build_cached(shop, scorer=RowScorer(lambda row: -float(row)))
    slates = [recommender.recommend(ask()) for _ in range(60)]
    assert all(slate.cached for slate in slates[1:])
    last = {slate.reasons[-1] for slate in slates}
    assert last == {"ranked", "explored"}
    assert {rows(slate)[-1] for slate in slates} == {4, *range(37, 43)}


def test_holes_are_filled_from_the_reserve_and_caps_still_hold(build_cached, ask):
    # The catalogue's version stands still, as if the change came between look-up and answer.
    shop = SmallShop(settings=Settings(reranking=RerankingSettings(cap=1)))
    recommender = build_cached(shop)
    first = recommender.recommend(ask(size=4))
    shop.catalogue.remove(shop.catalogue.ids(first.shown.row)[0], shop.catalogue.version)
    again = recommender.recommend(ask(size=4))
    assert again.cached
    assert rows(first)[0] not in rows(again)
    assert sorted(again.shown.row % 4) == [0, 1, 2, 3]
    assert [d.component for d in again.dropped] == ["filtering/available"]
    left = [*rows(again), *again.reserve.row.tolist(), *again.dropped[0].candidates.row.tolist()]
    assert sorted(left) == sorted(again.retrieved.row.tolist())


def test_when_the_reserve_runs_out_the_slate_is_computed_anew(build_cached, ask):
    shop = SmallShop(settings=Settings(serving=ServingSettings(reserve=1)))
    recommender = build_cached(shop)
    first = recommender.recommend(ask())
    for item_id in shop.catalogue.ids(first.shown.row)[:2]:
        shop.catalogue.remove(item_id, shop.catalogue.version)
    again = recommender.recommend(ask())
    assert not again.cached
    assert len(again.shown) == 5


@pytest.mark.parametrize("reserve", [0, 3, 100])
@pytest.mark.parametrize("size", [1, 5, 12])
def test_composition_is_the_same_from_the_cache_under_every_rule(build_cached, ask, reserve, size):
    pins = (PinSettings("i2", 2), PinSettings("i30", 0))
    shop = SmallShop(
        settings=Settings(
            serving=ServingSettings(reserve=reserve), reranking=RerankingSettings(cap=2, diversity=0.4, pins=pins)
        )
    )
    recommender = build_cached(shop)
    first, again = recommender.recommend(ask(size=size)), recommender.recommend(ask(size=size))
    assert again.cached
    assert rows(again) == rows(first)
    assert again.reasons == first.reasons


def test_an_event_that_lands_while_a_slate_is_computed_never_leaves_the_old_one_behind(build_cached, shop, ask):
    events = iter([("ann", "i8")])

    def land():
        for user, item in events:
            shop.record(user, item)

    recommender = build_cached(shop, sources=[ListSource("a", range(40), before=land)])
    old = recommender.recommend(ask("ann"))
    assert old.version < shop.offset
    new = recommender.recommend(ask("ann"))
    assert not new.cached
    assert 8 not in rows(new) + new.reserve.row.tolist()


def test_an_item_that_comes_while_a_slate_is_computed_is_not_hidden_by_it(build_cached, shop, ask):
    puts = iter(["fresh"])

    def land():
        for item_id in puts:
            shop.put(item_id, created_at=NOW)

    source = ListSource("late", [], before=land)
    recommender = build_cached(shop, scorer=RowScorer(float), sources=[ListSource("a", range(40)), source])
    recommender.recommend(ask("ann"))
    assert not recommender.recommend(ask("ann")).cached


def test_a_slate_made_while_one_view_runs_ahead_is_not_kept(build_cached, shop, ask):
    # The user store has followed an event that the others have not yet.
    recommender = build_cached(shop)
    ahead = replace(shop.users.states["ann"], version=shop.offset + 1)
    shop.users.states["ann"] = ahead
    recommender.recommend(ask("ann"))
    shop.offset += 1
    assert not recommender.recommend(ask("ann")).cached
    assert recommender.recommend(ask("ann")).cached


def test_threads_that_write_and_ask_at_once_never_get_what_was_ruled_out_before(build_cached, ask):
    shop = SmallShop(items=60)
    shop.record("ann", "i0")
    recommender = build_cached(shop)
    ruled_out: list[int] = []
    wrong: list[int] = []
    done = threading.Event()

    def reader():
        while not done.is_set():
            out = list(ruled_out)
            slate = recommender.recommend(ask("ann"))
            wrong.extend(set(out) & set(rows(slate)))

    readers = [threading.Thread(target=reader) for _ in range(3)]
    for thread in readers:
        thread.start()
    for i in range(1, 40):
        if i % 3:
            shop.record("ann", f"i{i}")
        else:
            shop.put(f"i{i}", available=False)
        ruled_out.append(i)
    done.set()
    for thread in readers:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("diversity", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("reserve", [2, 5])
def test_what_boosts_raise_is_kept_so_that_a_hit_shows_the_fresh_slate(build_cached, build, ask, diversity, reserve):
    # Boosted items lie behind everything the ranked order alone would keep.
    rules = RerankingSettings(diversity=diversity, boosts=(BoostSettings(where={"categories": "c9"}, factor=50.0),))
    shop = SmallShop(settings=Settings(reranking=rules, serving=ServingSettings(reserve=reserve)))
    for row in range(20, 40):
        shop.put(f"i{row}", categories=("c9",))
    parts = {"sources": [ListSource("a", range(40))], "scorer": RowScorer(lambda row: 41.0 - row)}
    cached = build_cached(shop, **parts)
    fresh, again = cached.recommend(ask("ann", size=4)), cached.recommend(ask("ann", size=4))
    assert again.cached
    assert min(rows(fresh)) >= 20
    assert rows(again) == rows(fresh)


def test_a_hit_tells_the_propensities_of_its_own_draw(build_cached, ask):
    shop = SmallShop(settings=Settings(reranking=RerankingSettings(exploration=0.5)))
    for name in ("n0", "n1"):
        shop.put(name, created_at=NOW)
    parts = {"sources": [ListSource("a", [*range(9), 40, 41])], "scorer": RowScorer(lambda row: 50.0 - row)}
    cached = build_cached(shop, **parts)
    slates = [cached.recommend(ask("ann")) for _ in range(40)]
    assert [slate.cached for slate in slates] == [False] + [True] * 39
    told = {(slate.reasons[-1], slate.propensities(), slate.explored_from) for slate in slates}
    ones = (1.0,) * 4
    assert told == {("ranked", (*ones, 0.5), 0), ("explored", (*ones, 0.25), 2)}

"""Pages of one frozen slate: nothing twice, nothing that may not be shown any more, no cursor but our own."""

import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace

import pytest

from slatewise.domain.errors import Expired, InputError
from slatewise.domain.query import ANONYMOUS, PastAction
from slatewise.domain.settings import CacheSettings, RerankingSettings, ServingSettings, Settings
from slatewise.serving.cursors import MAX_CURSOR, Cursors
from slatewise.testing.small_shop import DIM, FakeClock, SmallShop
from slatewise.testing.stages import ListSource, RowScorer


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def shop():
    shop = SmallShop()
    shop.record("ann", "i3")
    shop.record("bob", "i4")
    return shop


@pytest.fixture
def recommender(build_cached, shop, clock):
    return build_cached(shop, clock=clock, sources=[ListSource("a", range(40))], scorer=RowScorer(lambda row: -row))


def rows(slate):
    return slate.shown.row.tolist()


def walk(recommender, query, between=lambda page: None):
    """Return all pages from the query's first to the last."""
    pages = [recommender.recommend(query)]
    while pages[-1].cursor is not None:
        between(len(pages))
        pages.append(recommender.recommend(replace(query, cursor=pages[-1].cursor, request_id=f"p{len(pages)}")))
    return pages


def test_pages_show_everything_ranked_once_in_order_and_then_end(recommender, ask):
    pages = walk(recommender, ask("ann"))
    assert [len(page.shown) for page in pages] == [5] * 7 + [4]
    assert [row for page in pages for row in rows(page)] == [row for row in range(40) if row != 3]
    assert [page.page for page in pages] == list(range(8))
    assert pages[-1].cursor is None
    assert all(page.cached and not page.degraded for page in pages[1:])
    assert {page.version for page in pages} == {pages[0].version}


def test_a_page_from_the_cache_goes_on_as_the_fresh_one_did(recommender, ask):
    fresh, again = recommender.recommend(ask("ann")), recommender.recommend(ask("ann"))
    assert again.cached
    second = [rows(recommender.recommend(ask("ann", cursor=one.cursor))) for one in (fresh, again)]
    assert second[0] == second[1]


def test_the_same_cursor_gives_the_same_page_twice(recommender, ask):
    cursor = recommender.recommend(ask("ann")).cursor
    first, second = (recommender.recommend(ask("ann", cursor=cursor)) for _ in range(2))
    assert rows(first) == rows(second)


def test_each_page_is_filtered_anew(recommender, shop, ask):
    def between(page):
        # Of what the coming page would show: one bought, one banned, one gone, one not wanted by the caller.
        shop.record("ann", f"i{5 * page + 1}", "buy")
        shop.put(f"i{5 * page + 2}", available=False)
        shop.remove(f"i{5 * page + 3}")

    out: set[int] = set()
    pages = [recommender.recommend(ask("ann", size=5))]
    for page in range(1, 4):
        between(page)
        out |= {5 * page + 1, 5 * page + 2, 5 * page + 3}
        query = ask("ann", size=5, cursor=pages[-1].cursor, exclude=frozenset({f"i{5 * page + 4}"}))
        pages.append(recommender.recommend(query))
        assert not out & set(rows(pages[-1]))
        assert 5 * page + 4 not in rows(pages[-1])
        assert len(pages[-1].shown) == 5
    shown = [row for page in pages for row in rows(page)]
    assert len(shown) == len(set(shown))


def test_new_events_bundles_and_items_do_not_move_what_is_walked(build, shop, clock, ask, build_cached):
    def line(bundle, sign):
        parts = {"sources": [ListSource("a", range(40))], "scorer": RowScorer(lambda row: sign * float(row))}
        return build(shop, clock=clock, bundle=bundle, **parts)

    live = [line("b1", -1.0)]
    recommender = build_cached(shop, clock=clock, live=lambda: live[0])
    first = recommender.recommend(ask("ann"))
    shop.record("ann", "i20", "view")
    shop.put("fresh")
    live[0] = line("b2", 1.0)
    second = recommender.recommend(ask("ann", cursor=first.cursor))
    assert rows(second) == [6, 7, 8, 9, 10]
    assert (second.bundle, second.version) == ("b1", first.version)
    assert second.degraded == ("reranking: ranked by bundle b1, not live any more",)
    assert recommender.recommend(ask("ann")).bundle == "b2"


def test_pages_need_no_cache(build_cached, clock, ask):
    shop = SmallShop(settings=Settings(cache=CacheSettings(max_bytes=0)))
    pages = walk(build_cached(shop, clock=clock, sources=[ListSource("a", range(40))]), ask())
    assert sorted(row for page in pages for row in rows(page)) == list(range(40))


def test_a_page_may_have_another_size(recommender, ask):
    first = recommender.recommend(ask("ann", size=2))
    second = recommender.recommend(ask("ann", size=9, cursor=first.cursor))
    assert rows(first) + rows(second) == [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11]


def test_a_page_of_which_nothing_may_be_shown_is_empty_and_the_last(recommender, shop, ask):
    first = recommender.recommend(ask("ann"))
    everything = frozenset(shop.catalogue.ids(first.reserve.row))
    last = recommender.recommend(ask("ann", cursor=first.cursor, exclude=everything))
    assert (len(last.shown), last.cursor, last.degraded) == (0, None, ())


def test_rules_of_reranking_hold_on_every_page(build_cached, clock, ask):
    shop = SmallShop(settings=Settings(reranking=RerankingSettings(cap=1)))
    pages = walk(build_cached(shop, clock=clock), ask(size=4))
    assert all(sorted(page.shown.row % 4) == [0, 1, 2, 3] for page in pages[:-1])
    shown = [row for page in pages for row in rows(page)]
    assert len(shown) == len(set(shown))


@pytest.mark.parametrize(
    "other",
    [
        {"user_id": "bob"},
        {"user_id": None},
        {"where": {"categories": "c1"}},
        {"context": {"surface": "home"}},
        {"weights": {"buy": 9.0}},
        {"history": (PastAction(item_id="i9"),)},
        {"history": ()},
        {"vector": (1.0,) * DIM},
    ],
)
def test_a_cursor_of_another_query_is_refused_by_name(recommender, ask, other):
    cursor = recommender.recommend(ask("ann")).cursor
    with pytest.raises(InputError, match="the cursor of an answer to the same query") as refused:
        recommender.recommend(ask(**{"user_id": "ann", "cursor": cursor, **other}))
    assert refused.value.field == "cursor"
    assert len(str(refused.value)) < 250


def test_every_changed_character_is_noticed(recommender, ask):
    cursor = recommender.recommend(ask("ann")).cursor
    for place in range(0, len(cursor), 7):
        changed = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
        with pytest.raises(InputError):
            recommender.recommend(ask("ann", cursor=changed))


def test_no_text_that_is_no_cursor_gets_through(recommender, ask):
    good = recommender.recommend(ask("ann")).cursor
    padded = good + "=" * (-len(good) % 4) + "===="
    unsealed = urlsafe_b64encode(urlsafe_b64decode(good + "=" * (-len(good) % 4))[16:]).rstrip(b"=").decode()
    for wrong in ("", "x", "äöü", "\x00", good[:-1], good + "A", good[1:], padded, unsealed, "A" * (MAX_CURSOR + 4)):
        with pytest.raises(InputError):
            recommender.recommend(ask("ann", cursor=wrong))


def test_a_cursor_of_another_home_is_refused(build_cached, recommender, shop, clock, ask):
    other = build_cached(shop, clock=clock)
    other._cursors = Cursors(b"another secret", clock, 3600.0)
    with pytest.raises(InputError):
        recommender.recommend(ask("ann", cursor=other.recommend(ask("ann")).cursor))


def test_a_walk_expires_an_hour_after_it_began_however_often_it_went_on(recommender, clock, ask):
    first = recommender.recommend(ask("ann"))
    clock.ms += 3_599_000.0
    second = recommender.recommend(ask("ann", cursor=first.cursor))
    clock.ms += 2_000.0
    for old in (first.cursor, second.cursor):
        with pytest.raises(Expired, match="ask again without one"):
            recommender.recommend(ask("ann", cursor=old))


def test_a_walk_ends_where_its_user_is_erased_and_the_log_knows_no_such_name(recommender, shop, ask):
    first, nobodys = recommender.recommend(ask("ann")), recommender.recommend(ask("new-here"))
    del shop.users.states["ann"]
    shop.users.states["erased-0"] = ANONYMOUS  # rows are never used twice
    for came_back in (False, True):
        if came_back:
            shop.record("ann", "i9")
        with pytest.raises(Expired, match="removal"):
            recommender.recommend(ask("ann", cursor=first.cursor))
    shop.record("new-here", "i9")
    assert len(recommender.recommend(ask("new-here", cursor=nobodys.cursor)).shown), "there was nobody to erase"


def test_a_walk_goes_on_where_an_item_of_its_history_becomes_known(recommender, shop, ask):
    query = ask(None, history=(PastAction(item_id="i7"), PastAction(item_id="brand-new")))
    first = recommender.recommend(query)
    shop.put("brand-new")
    assert len(recommender.recommend(replace(query, cursor=first.cursor)).shown) == 5


def test_a_walk_ends_where_its_user_asks_to_be_forgotten(recommender, shop, ask):
    first = recommender.recommend(ask("ann"))
    shop.offset += 1
    gone = replace(shop.users.states["ann"], since=shop.offset, version=shop.offset)
    shop.users.states["ann"] = gone
    with pytest.raises(Expired, match="removal"):
        recommender.recommend(ask("ann", cursor=first.cursor))


def test_the_longest_slate_has_a_cursor_that_is_short_enough_to_be_sent_back(build_cached, ask):
    shop = SmallShop(items=1200, settings=Settings(serving=ServingSettings(reserve=5_000, max_size=1_200)))
    line = build_cached(shop, sources=[ListSource("a", range(1200), limit=1200)])
    first = line.recommend(ask("ann", size=5))
    assert len(first.cursor) <= MAX_CURSOR
    assert len(line.recommend(ask("ann", size=400, cursor=first.cursor)).shown) > 100


def test_threads_that_write_and_walk_at_once_never_get_what_was_ruled_out_before_they_asked(build_cached, ask):
    shop = SmallShop(items=60)
    shop.record("ann", "i0")
    recommender = build_cached(shop, sources=[ListSource("a", range(60))])
    ruled_out: list[int] = []
    wrong: list[object] = []
    walked, done = [], threading.Event()

    def walker():
        while not done.is_set():
            met, cursor = set(), None
            for _ in range(4):
                out = set(ruled_out)
                page = recommender.recommend(ask("ann", size=5, cursor=cursor))
                wrong.extend(out & set(rows(page)))
                wrong.extend(met & set(rows(page)))
                met |= set(rows(page))
                cursor = page.cursor
                if cursor is None:
                    break
            walked.append(len(met))

    walkers = [threading.Thread(target=walker) for _ in range(3)]
    for thread in walkers:
        thread.start()
    for i in range(1, 40):
        before = len(walked)
        if i % 3:
            shop.record("ann", f"i{i}")
        else:
            shop.put(f"i{i}", available=False)
        ruled_out.append(i)
        while i % 5 == 0 and len(walked) == before:
            threading.Event().wait(0.001)
    done.set()
    for thread in walkers:
        thread.join()
    assert not wrong
    assert len(walked) >= 7

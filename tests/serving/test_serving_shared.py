"""Slates in a real Redis: shared between processes, never trusted, and no loss when it is gone, slow or lying."""

import logging
import time
from dataclasses import replace

import numpy as np
import pytest

from slatewise.domain.errors import ConfigError, SharedTierLost
from slatewise.ports.cache import NobodyWatches
from slatewise.serving.breaker import FAILURES, FIRST_PAUSE_MS, Breaker
from slatewise.serving.shared import SharedSlates
from slatewise.storage.redis_tier import RedisTier
from slatewise.telemetry.clock import SystemClock
from slatewise.testing.small_shop import FakeClock, SmallShop

SECRET = b"s" * 32


class Watch(NobodyWatches):
    def __init__(self):
        self.told = []

    def shared(self, outcome):
        self.told.append(outcome)


@pytest.fixture
def shop():
    shop = SmallShop()
    shop.record("ann", "i3")
    return shop


@pytest.fixture
def worker(build_cached, shop, redis_server):
    """Makes one process's recommender over the shared shop."""
    tiers = []

    def made(clock=None, watch=None, home=b"home", secret=SECRET, timeout_ms=200.0, **parts):
        clock, watch = clock or FakeClock(), watch or Watch()
        tiers.append(RedisTier(redis_server.url, timeout_ms, home))
        shared = SharedSlates(tiers[-1], secret, 60.0, Breaker(clock), watch)
        return build_cached(shop, clock=clock, rest={"shared": shared, "watch": watch}, **parts)

    yield made
    for tier in tiers:
        tier.close()


def rows(slate):
    return slate.shown.row.tolist()


def test_what_one_process_ranked_another_serves_without_ranking(worker, ask):
    watch = Watch()
    first = worker().recommend(ask("ann"))
    other = worker(watch=watch, sources=[])
    again = other.recommend(ask("ann"))
    assert again.cached
    assert rows(again) == rows(first)
    assert np.array_equal(again.shown.score, first.shown.score)
    assert again.version == first.version
    assert other.recommend(ask("ann")).cached
    assert watch.told == ["hit"], "the second time its own memory has it"


def test_what_is_shared_is_filtered_by_who_serves_it(worker, shop, ask):
    first = worker().recommend(ask("ann"))
    # The catalogue's version stands still, as if the change came between look-up and answer.
    shop.catalogue.remove(shop.catalogue.ids(first.shown.row)[0], shop.catalogue.version)
    again = worker(sources=[]).recommend(ask("ann"))
    assert again.cached
    assert rows(first)[0] not in rows(again)
    assert len(again.shown) == 5


def test_an_event_makes_the_next_answer_fresh_in_every_process(worker, shop, ask):
    one, other = worker(), worker()
    first = one.recommend(ask("ann"))
    assert other.recommend(ask("ann")).cached
    shop.record("ann", shop.catalogue.ids(first.shown.row)[0])
    for process in (other, one):
        after = process.recommend(ask("ann"))
        assert rows(first)[0] not in rows(after)
        assert after.version == shop.offset
    shop.put("fresh")
    assert not one.recommend(ask("ann")).cached


def test_degraded_slates_are_not_shared(worker, ask):
    class Broken:
        name = "row"

        def score(self, query, candidates):
            raise RuntimeError

    assert worker(scorer=Broken()).recommend(ask("ann")).degraded
    assert not worker().recommend(ask("ann")).cached


@pytest.mark.parametrize("other", [{"home": b"another"}, {"secret": b"t" * 32}])
def test_homes_and_secrets_do_not_mix(worker, ask, other):
    worker().recommend(ask("ann"))
    assert not worker(**other).recommend(ask("ann")).cached


def test_a_value_that_was_changed_cut_or_filed_elsewhere_is_passed_over(worker, redis_server, ask):
    worker().recommend(ask("ann"))
    worker().recommend(ask("bob"))
    ann, bob = sorted(redis_server.client.keys("*"))
    whole = redis_server.client.get(ann)
    wrong = [b"", b"x", whole[:-1], whole[:30], bytes([whole[0] ^ 1]) + whole[1:], whole[:-1] + b"\x00" + whole[-1:]]
    for value in (*wrong, redis_server.client.get(bob)):
        redis_server.client.set(ann, value)
        redis_server.client.delete(bob)
        watch = Watch()
        process = worker(watch=watch)
        slates = [process.recommend(ask(user)) for user in ("ann", "bob")]
        assert not any(slate.cached for slate in slates)
        assert "error" in watch.told


def test_keys_and_values_name_no_user_and_end_by_themselves(worker, redis_server, ask):
    worker().recommend(ask("ann", where={"categories": "c1"}))
    (key,) = redis_server.client.keys("*")
    assert b"ann" not in key + redis_server.client.get(key)
    assert b"c1" not in redis_server.client.get(key)
    assert 0 < redis_server.client.pttl(key) <= 60_000


def test_a_slate_of_another_time_is_not_taken(worker, ask):
    worker().recommend(ask("ann"))
    assert not worker().recommend(replace(ask("ann"), at=ask("ann").at + 120.0)).cached


def test_without_redis_answers_come_as_before_and_soon_nobody_asks_it(worker, redis_server, ask, caplog):
    caplog.set_level(logging.CRITICAL)
    clock, watch = FakeClock(), Watch()
    process = worker(clock=clock, watch=watch)
    redis_server.stop()
    slates = [process.recommend(ask(f"u{i}")) for i in range(10)]
    assert all((len(slate.shown), slate.degraded) == (5, ()) for slate in slates)
    assert watch.told == ["error"] * FAILURES + ["skipped"] * (20 - FAILURES)
    redis_server.start()
    clock.ms += FIRST_PAUSE_MS
    process.recommend(ask("u90"))
    process.recommend(ask("u91"))
    assert watch.told[20:] == ["miss"] * 2
    assert len(redis_server.client.keys("*")) == 2
    assert worker(sources=[]).recommend(ask("u91")).cached


def test_a_redis_that_hangs_costs_its_timeout_a_few_times_and_then_nothing(worker, redis_server, ask, caplog):
    caplog.set_level(logging.CRITICAL)
    clock, watch = SystemClock(), Watch()
    process = worker(clock=clock, watch=watch, timeout_ms=50.0)
    process.recommend(ask("u0", deadline_ms=60_000))
    redis_server.pause()
    try:
        start = time.monotonic()
        slates = [process.recommend(ask(f"u{i}", deadline_ms=60_000)) for i in range(1, 101)]
        spent = time.monotonic() - start
    finally:
        redis_server.resume()
    assert all((len(slate.shown), slate.degraded) == (5, ()) for slate in slates)
    assert watch.told.count("error") == FAILURES
    # 200 times 50 ms would be 10 s; three are 0.15 s, and the rest is this machine.
    assert spent < 6.0


def test_a_query_without_the_time_to_ask_redis_does_not(worker, redis_server, ask):
    watch = Watch()
    worker(watch=watch, timeout_ms=200.0).recommend(ask("ann", deadline_ms=10))
    assert "miss" not in watch.told


def test_the_tier_keeps_bytes_forgets_them_and_says_when_it_is_lost(redis_server):
    tier = RedisTier(redis_server.url, 200.0, b"h")
    assert tier.get(b"k") is None
    tier.put(b"k", b"\x00\xff", 0.05)
    assert tier.get(b"k") == b"\x00\xff"
    time.sleep(0.1)
    assert tier.get(b"k") is None
    redis_server.client.lpush("slatewise:" + b"h".hex() + ":" + b"list".hex(), "x")
    with pytest.raises(SharedTierLost):
        tier.get(b"list")
    redis_server.stop()
    with pytest.raises(SharedTierLost):
        tier.put(b"k", b"v", 1.0)
    tier.close()


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", "redis://localhost:port"])
def test_a_url_that_is_none_of_redis_is_refused_by_the_settings_name(url):
    with pytest.raises(ConfigError, match=r"cache\.url"):
        RedisTier(url, 20.0, b"h")

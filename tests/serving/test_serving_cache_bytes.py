"""The result cache's bound is in bytes, and the bytes are those that memory really loses."""

import gc
import secrets
import tracemalloc

import numpy as np
import pytest

from slatewise.domain.candidate import Candidates
from slatewise.domain.settings import CacheSettings
from slatewise.serving.cache import ResultCache
from slatewise.serving.held import Held, pack, unpack
from slatewise.testing.small_shop import NOW, FakeClock


def held(candidates=110, seed=0):
    rng = np.random.default_rng(seed)
    ranked = Candidates(
        1_000 * rng.permutation(candidates),
        rng.random(candidates, np.float32),
        rng.integers(0, 4, candidates),
        ("two_tower", "item_to_item", "trending", "new_arrivals"),
    )
    return Held(ranked, 1_234_567, "20260101-120000-ab12", NOW)


def keys():
    return secrets.token_bytes(16), secrets.token_bytes(32)


class Watch:
    def __init__(self):
        self.held = (0, 0)
        self.gone = 0

    def holds(self, bytes_held, entries):
        self.held = (bytes_held, entries)

    def evicted(self, entries):
        self.gone += entries


@pytest.mark.parametrize("candidates", [0, 110, 500])
def test_what_the_cache_says_it_takes_is_what_memory_loses(candidates):
    cache = ResultCache(CacheSettings(max_bytes=10**9), FakeClock())
    slate = held(candidates)
    for _ in range(10):
        cache.keep(*keys(), slate)
    entries = 1_000
    gc.collect()
    tracemalloc.start()
    before, said = tracemalloc.get_traced_memory()[0], cache.size_bytes
    for _ in range(entries):
        cache.keep(*keys(), slate)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert taken == pytest.approx(cache.size_bytes - said, rel=0.08)


@pytest.mark.parametrize("max_bytes", [0, 100, 5_000, 200_000])
def test_the_cache_never_holds_more_bytes_than_it_may_and_says_how_many(max_bytes):
    watch = Watch()
    cache = ResultCache(CacheSettings(max_bytes=max_bytes), FakeClock(), watch)
    for seed, size in enumerate([110, 0, 500, 7, 110, 300] * 40):
        cache.keep(*keys(), held(size, seed))
        assert cache.size_bytes <= max_bytes
        assert watch.held == (cache.size_bytes, len(cache))
    assert max_bytes < 5_000 or len(cache) > 0
    kept = len(cache)
    assert max_bytes < 5_000 or watch.gone == pytest.approx(240 - kept, abs=40)
    cache.clear()
    assert (cache.size_bytes, len(cache), watch.held) == (0, 0, (0, 0))


def test_the_same_question_takes_its_room_once():
    cache = ResultCache(CacheSettings(), FakeClock())
    question, edition = keys()
    cache.keep(question, edition, held(110))
    once = cache.size_bytes
    for _ in range(5):
        cache.keep(question, secrets.token_bytes(32), held(110))
    assert (cache.size_bytes, len(cache)) == (once, 1)


def test_a_slate_comes_out_as_it_went_in():
    slate = held(37)
    again = unpack(pack(slate))
    for column in ("row", "score", "source"):
        before, after = getattr(slate.ranked, column), getattr(again.ranked, column)
        assert np.array_equal(after, before)
        assert after.dtype == before.dtype
    assert again.ranked.sources == slate.ranked.sources
    assert (again.version, again.bundle, again.at) == (slate.version, slate.bundle, slate.at)


def test_scores_that_are_not_finite_survive():
    odd = Candidates.of("a", np.arange(3), np.array([np.inf, np.nan, -np.inf], np.float32))
    again = unpack(pack(Held(odd, 1, "b", NOW)))
    assert np.array_equal(again.ranked.score, odd.score, equal_nan=True)


def test_bytes_that_are_no_slate_are_none():
    packed = pack(held(5))
    for wrong in (b"", b"x", packed[:-1], packed[1:], b"\x93" + packed, secrets.token_bytes(200)):
        assert unpack(wrong) is None
    another_format = bytes([packed[0], packed[1] + 1, *packed[2:]])
    assert unpack(another_format) is None

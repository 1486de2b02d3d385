import numpy as np
import pytest

from slatewise.domain.settings import PinSettings
from slatewise.retrieval import new_arrivals
from slatewise.retrieval.any_available import AnyAvailableSource
from slatewise.retrieval.item_to_item import ItemToItemSource
from slatewise.retrieval.new_arrivals import NewArrivalsSource
from slatewise.retrieval.pinned import PinnedSource
from slatewise.retrieval.trending import TrendingSource
from slatewise.retrieval.two_tower import TwoTowerSource
from slatewise.testing.small_shop import DAY_S, NOW, SmallShop, item_vectors
from slatewise.testing.stages import SourceContract, resolved


class TestTwoTowerSource(SourceContract):
    def make(self, shop):
        return TwoTowerSource(shop.index, 10)


class TestItemToItemSource(SourceContract):
    def make(self, shop):
        return ItemToItemSource(shop.state, 10)


class TestTrendingSource(SourceContract):
    def make(self, shop):
        return TrendingSource(shop.state, 10)


class TestNewArrivalsSource(SourceContract):
    def make(self, shop):
        return NewArrivalsSource(shop.catalogue, 10)


class TestNewArrivalsSourceWithSmallPool(TestNewArrivalsSource):
    @pytest.fixture(autouse=True)
    def _small_pool(self, monkeypatch):
        monkeypatch.setattr(new_arrivals, "POOL", 3)


class TestAnyAvailableSource(SourceContract):
    def make(self, shop):
        return AnyAvailableSource(shop.catalogue)


class TestPinnedSource(SourceContract):
    def make(self, shop):
        return PinnedSource(shop.catalogue, [PinSettings("i7"), PinSettings("nobody"), PinSettings("i8")])


def test_two_tower_offers_nothing_without_a_user_vector():
    assert len(TwoTowerSource(SmallShop().index, 10).retrieve(resolved(), 10)) == 0


def test_two_tower_offers_the_nearest_item_first():
    shop = SmallShop()
    offer = TwoTowerSource(shop.index, 10).retrieve(resolved(vector=item_vectors(np.array([17]))), 3)
    assert offer.row[0] == 17
    assert offer.score[0] == pytest.approx(1.0)


def test_item_to_item_offers_nothing_without_a_history():
    assert len(ItemToItemSource(SmallShop().state, 10).retrieve(resolved(), 10)) == 0


def test_item_to_item_asks_for_the_ten_newest_interactions_only():
    asked = []

    class Asked:
        def next_items(self, last, limit):
            asked.append(last.tolist())
            return np.empty(0, np.int64), np.empty(0, np.float32)

    ItemToItemSource(Asked(), 10).retrieve(resolved(history=np.arange(25)), 5)
    assert asked == [list(range(15, 25))]


@pytest.mark.parametrize("pool", [2, 1024])
def test_new_arrivals_come_youngest_first_and_never_from_the_future(pool, monkeypatch):
    monkeypatch.setattr(new_arrivals, "POOL", pool)
    shop = SmallShop(items=5)
    shop.put("tomorrow", created_at=NOW + DAY_S)
    shop.put("just now", created_at=NOW)
    shop.put("ageless")
    offer = NewArrivalsSource(shop.catalogue, 5).retrieve(resolved(), 10)
    assert shop.catalogue.ids(offer.row) == ["just now", "i4", "i3", "i2", "i1", "i0"]
    assert np.all(np.diff(offer.score) <= 0)


def test_new_arrivals_of_the_past_are_those_new_then():
    shop = SmallShop(items=30)
    offer = NewArrivalsSource(shop.catalogue, 5).retrieve(resolved(at=NOW - 200 * DAY_S), 2)
    assert shop.catalogue.ids(offer.row) == ["i10", "i9"]


def test_new_arrivals_see_an_item_added_or_removed_since_the_last_query():
    shop = SmallShop(items=5)
    source = NewArrivalsSource(shop.catalogue, 5)
    assert shop.catalogue.ids(source.retrieve(resolved(), 1).row) == ["i4"]
    shop.put("fresh", created_at=NOW)
    assert shop.catalogue.ids(source.retrieve(resolved(), 1).row) == ["fresh"]
    shop.put("fresh", created_at=NOW, available=False)
    assert shop.catalogue.ids(source.retrieve(resolved(), 1).row) == ["i4"]


def test_new_arrivals_sort_the_catalogue_once_per_version(monkeypatch):
    calls = []
    real = new_arrivals._newest
    monkeypatch.setattr(new_arrivals, "_newest", lambda *a: calls.append(a) or real(*a))
    shop = SmallShop(items=5)
    source = NewArrivalsSource(shop.catalogue, 5)
    for _ in range(4):
        source.retrieve(resolved(), 2)
    assert len(calls) == 1


def test_any_available_leaves_out_what_is_blocked_or_gone():
    shop = SmallShop(items=6)
    shop.remove("i3")
    offer = AnyAvailableSource(shop.catalogue).retrieve(resolved(seen=[5, 900]), 10)
    assert offer.row.tolist() == [4, 2, 1, 0]


def test_trending_looks_deeper_where_the_query_allows_little():
    shop = SmallShop()
    for i in range(20):
        shop.record("u", f"i{i}")
    offer = TrendingSource(shop.state, 3).retrieve(resolved(allow=np.arange(40) % 4 == 3), 3)
    assert offer.row.tolist() == [3, 7, 11]


@pytest.mark.parametrize("share", [0.0, 0.0004, 0.02, 1.0])
@pytest.mark.parametrize("limit", [0, 1, 40, 60_000])
@pytest.mark.parametrize("with_allow", [False, True])
def test_the_last_resort_looks_no_further_than_it_must_and_misses_nothing(share, limit, with_allow):
    rng = np.random.default_rng(7)

    class Large:
        available = rng.random(50_000) < share

    allow = rng.random(49_990) < 0.5 if with_allow else None
    blocked = np.unique(np.append(rng.integers(0, 60_000, 400), [0, 49_989, 49_999]))
    offer = AnyAvailableSource(Large()).retrieve(resolved(blocked=blocked, allow=allow), limit)
    free = Large.available.copy()
    free[blocked[blocked < 50_000]] = False
    if allow is not None:
        free = free[:49_990] & allow
    assert offer.row.tolist() == np.flatnonzero(free)[::-1][:limit].tolist()
    assert offer.row.dtype == np.int64

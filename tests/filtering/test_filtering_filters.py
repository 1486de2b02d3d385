import numpy as np
import pytest

from slatewise.domain.membership import marked
from slatewise.filtering.available import AvailableFilter
from slatewise.filtering.excluded import ExcludedFilter
from slatewise.filtering.seen import SeenFilter
from slatewise.filtering.where import WhereFilter
from slatewise.testing.small_shop import SmallShop
from slatewise.testing.stages import FilterContract, candidates, resolved


class TestAvailableFilter(FilterContract):
    def make(self, shop):
        return AvailableFilter(shop.catalogue)


class TestSeenFilter(FilterContract):
    def make(self, shop):
        return SeenFilter()


class TestExcludedFilter(FilterContract):
    def make(self, shop):
        return ExcludedFilter()


class TestWhereFilter(FilterContract):
    def make(self, shop):
        return WhereFilter()


def test_available_asks_the_catalogue_as_it_is_now():
    shop = SmallShop(items=4)
    rule = AvailableFilter(shop.catalogue)
    assert rule.keep(resolved(), candidates(range(4))).tolist() == [True] * 4
    shop.put("i1", available=False)
    shop.remove("i2")
    assert rule.keep(resolved(), candidates(range(4))).tolist() == [True, False, False, True]


def test_available_drops_rows_outside_of_the_catalogue():
    keep = AvailableFilter(SmallShop(items=2).catalogue).keep(resolved(), candidates([-1, 0, 1, 2]))
    assert keep.tolist() == [False, True, True, False]
    assert AvailableFilter(SmallShop(items=0).catalogue).keep(resolved(), candidates([0])).tolist() == [False]


def test_seen_drops_what_was_seen_and_leaves_what_was_excluded_to_its_own_filter():
    query = resolved(seen=[5, 3], blocked=[4])
    assert SeenFilter().keep(query, candidates([3, 4, 5, 6])).tolist() == [False, True, False, True]
    assert ExcludedFilter().keep(query, candidates([4, 6])).tolist() == [False, True]


def test_seen_drops_nothing_that_the_query_does_not_block():
    query = resolved(blocked=[9])
    object.__setattr__(query.user, "seen", np.array([3], np.int64))
    assert SeenFilter().keep(query, candidates([3, 9])).tolist() == [True, True]


def test_where_keeps_everything_without_conditions():
    assert WhereFilter().keep(resolved(), candidates(range(3))).all()


def test_where_drops_rows_that_came_after_the_mask_was_made():
    keep = WhereFilter().keep(resolved(allow=np.array([True, False])), candidates([0, 1, 2]))
    assert keep.tolist() == [True, False, False]


@pytest.mark.parametrize("rows", [[0, 2], [0, 2, 5], [-1, 0, 2], [-(2**62), 1, 2**62], []])
def test_a_row_outside_of_a_mask_is_not_marked(rows: list[int]) -> None:
    mask = np.array([True, False, True])
    expected = [0 <= row < 3 and bool(mask[row]) for row in rows]
    assert marked(np.array(rows, np.int64), mask).tolist() == expected

"""What every catalogue must do: the items that exist now, by row, and which of them meet a condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import pytest

from slatewise.domain.errors import InputError
from slatewise.domain.events import Attributes, Event, ItemChange, ItemRemoval, UserChange
from slatewise.ports.stores import Catalogue, EventLog, Follower
from slatewise.testing.event_log import seen


class FollowingCatalogue(Catalogue, Follower, Protocol):
    """A catalogue that is kept up by following."""


class CatalogueContract:
    """Subclass with fixtures ``log`` (an empty log with the actions of `testing.event_log`) and ``make``.

    ``make(log)`` returns a catalogue as of the log's end.
    """

    @pytest.fixture
    def log(self) -> EventLog:
        raise NotImplementedError  # a suite that inherits these tests says how

    @pytest.fixture
    def make(self) -> Callable[[EventLog], FollowingCatalogue]:
        raise NotImplementedError  # a suite that inherits these tests says how

    @pytest.fixture
    def catalogue(self, log: EventLog, make: Callable[[EventLog], FollowingCatalogue]) -> FollowingCatalogue:
        return make(log)

    @pytest.fixture
    def tell(self, log: EventLog, catalogue: FollowingCatalogue) -> Callable[..., int]:
        """Append and follow; return the version."""

        def tell(*events: Event) -> int:
            start = log.end
            log.append(events)
            catalogue.follow(list(log.read(start)))
            return log.end

        return tell

    @pytest.fixture
    def shop(self, catalogue: FollowingCatalogue, tell: Callable[..., int]) -> FollowingCatalogue:
        """Four described items and an implicit one."""
        tell(
            item("a", "Apple", ("fruit", "red"), price=1.0, colour="red", fresh=True),
            item("b", "Bean", ("green",), price=2.0, colour="green", fresh=False),
            item("c", "Cherry", ("fruit",), price=3.5, colour="red", tags=("small", "sweet")),
            item("d", None, (), price=2.0, tags=("small",)),
            seen("u", "e"),
        )
        return catalogue

    def test_an_empty_catalogue_is_empty(self, catalogue: FollowingCatalogue) -> None:
        assert (len(catalogue), catalogue.version, catalogue.row("x")) == (0, 0, -1)
        assert (catalogue.available.size, catalogue.created_at.size, catalogue.codes("x").size) == (0, 0, 0)
        assert catalogue.meeting({}).size == 0

    def test_rows_and_ids_are_each_others_way_back(self, shop: FollowingCatalogue) -> None:
        rows = shop.rows(["c", "?", "a", "c"])
        assert rows.tolist() == [2, -1, 0, 2]
        assert rows.dtype == np.int64
        assert shop.ids(np.array([2, 0, 4])) == ["c", "a", "e"]
        assert [shop.row(i) for i in "abcde?"] == [0, 1, 2, 3, 4, -1]
        assert shop.rows([]).size == 0

    def test_an_implicit_item_exists_without_description(self, shop: FollowingCatalogue) -> None:
        assert (len(shop), shop.exists(4), shop.item(4)) == (5, True, None)
        assert shop.available[4]
        assert np.isnan(shop.created_at[4])

    def test_rows_never_given_do_not_exist(self, shop: FollowingCatalogue) -> None:
        assert not shop.exists(5)
        assert not shop.exists(-1)

    def test_a_change_replaces_the_whole_state(self, shop: FollowingCatalogue, tell: Callable[..., int]) -> None:
        version = tell(ItemChange(at=9, item_id="a", attributes={"size": "L"}, available=False))
        assert shop.version == version
        assert shop.item(0) == ItemChange(at=9, item_id="a", attributes={"size": "L"}, available=False)
        assert shop.exists(0)
        assert shop.available.tolist() == [False, True, True, True, True]
        assert shop.meeting({"price": 1.0}).sum() == 0
        assert shop.meeting({"size": "L"}).tolist() == [True, False, False, False, False]

    def test_a_removed_item_stays_removed_until_described_anew(
        self, shop: FollowingCatalogue, tell: Callable[..., int]
    ) -> None:
        version = tell(ItemRemoval(at=9, item_id="a"))
        assert (shop.version, shop.item(0), shop.exists(0), len(shop)) == (version, None, False, 5)
        assert not shop.available[0]
        assert shop.meeting({"colour": "red"}).tolist() == [False, False, True, False, False]
        tell(seen("u", "a"))
        assert not shop.exists(0)
        assert not shop.available[0]
        tell(item("a", "Apple again"))
        assert shop.exists(0)
        assert shop.available[0]
        assert shop.row("a") == 0

    def test_the_version_moves_with_items_only(self, shop: FollowingCatalogue, tell: Callable[..., int]) -> None:
        before = shop.version
        tell(seen("u", "a"), UserChange(at=1, user_id="u"))
        assert shop.version == before
        assert tell(seen("u", "new")) == shop.version > before

    def test_creation_falls_back_to_the_first_description(
        self, catalogue: FollowingCatalogue, tell: Callable[..., int]
    ) -> None:
        tell(seen("u", "late"), ItemChange(at=5, item_id="a"), ItemChange(at=6, item_id="b", created_at=2.0))
        tell(ItemChange(at=8, item_id="a"), ItemChange(at=9, item_id="b"), ItemChange(at=10, item_id="late"))
        assert catalogue.created_at.tolist() == [10.0, 5.0, 6.0]
        tell(ItemRemoval(at=11, item_id="a"))
        assert np.isnan(catalogue.created_at[1])
        tell(ItemChange(at=12, item_id="a"))
        assert catalogue.created_at.tolist() == [10.0, 12.0, 6.0]

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            ({}, "abcde"),
            ({"colour": "red"}, "ac"),
            ({"colour": ("red", "green")}, "abc"),
            ({"colour": ["green"]}, "b"),
            ({"colour": "blue"}, ""),
            ({"colour": ()}, ""),
            ({"price": 2}, "bd"),
            ({"price": {"gte": 2, "lt": 3.5}}, "bd"),
            ({"price": {"gt": 2}}, "c"),
            ({"price": {"lte": 2}}, "abd"),
            ({"price": {"in": [1, 3.5]}}, "ac"),
            ({"price": {"ne": 2}}, "ace"),
            ({"price": {"not_in": [1, 2]}}, "ce"),
            ({"colour": {"eq": "red"}, "price": {"gt": 1}}, "c"),
            ({"fresh": True}, "a"),
            ({"fresh": False}, "b"),
            ({"categories": "fruit"}, "ac"),
            ({"categories": ("red", "green")}, "ab"),
            ({"categories": {"ne": "fruit"}}, "bde"),
            ({"categories": {"not_in": ["red", "green"]}}, "cde"),
            ({"tags": "small"}, "cd"),
            ({"tags": "sweet"}, "c"),
            ({"title": "Bean"}, "b"),
            ({"item_id": ("a", "e", "?")}, "ae"),
            ({"item_id": {"ne": "a"}}, "bcde"),
        ],
    )
    def test_conditions_choose_items(self, shop: FollowingCatalogue, where: Mapping[str, Any], expected: str) -> None:
        mask = shop.meeting(where)
        assert mask.dtype == np.bool_
        assert "".join(shop.ids(np.flatnonzero(mask))) == expected

    @pytest.mark.parametrize(
        ("where", "field", "hint"),
        [
            ({"color": "red"}, r"where\.color", "colour"),
            ({"price": {"above": 2}}, r"where\.price\.above", "gte"),
            ({"price": {}}, r"where\.price", "gte"),
            ({"price": {"lt": "2"}}, r"where\.price\.lt", "number"),
            ({"price": "cheap"}, r"where\.price", "number"),
            ({"price": float("nan")}, r"where\.price", "finite"),
            ({"price": {"in": 2}}, r"where\.price\.in", "list"),
            ({"price": {"eq": [2]}}, r"where\.price\.eq", "text, a finite number"),
            ({"colour": {"lt": 2}}, r"where\.colour\.lt", "text"),
            ({"colour": 2}, r"where\.colour", "text"),
            ({"item_id": {"lt": 2}}, r"where\.item_id\.lt", "not_in"),
        ],
    )
    def test_what_makes_no_sense_is_refused_by_name(
        self, shop: FollowingCatalogue, where: Mapping[str, Any], field: str, hint: str
    ) -> None:
        with pytest.raises(InputError, match=f"{field}: .*{hint}"):
            shop.meeting(where)

    def test_vectors_are_kept_and_no_condition_or_code_reads_them(
        self, shop: FollowingCatalogue, tell: Callable[..., int]
    ) -> None:
        tell(
            item("a", "Apple", v=(0.5, 1.0), colour=(1.0,)), item("b", "Bean", v=(2.0,)), item("d", None, colour="red")
        )
        kept = shop.item(0)
        assert kept is not None
        assert kept.attributes["v"] == (0.5, 1.0)
        conditions: list[Any] = [0.5, "x", (0.5, 1.0), {"ne": 2}, {"gt": 0}, {"in": []}]
        for condition in conditions:
            with pytest.raises(InputError, match=r"where\.v.*holds vectors"):
                shop.meeting({"v": condition})
        assert (shop.codes("v") == -1).all()
        # Beside values of other kinds, a vector counts as missing.
        assert shop.meeting({"colour": "red"}).tolist() == [False, False, True, True, False]
        assert shop.meeting({"colour": {"ne": "red"}}).tolist() == [True, True, False, False, True]
        tell(item("a", "Apple", v=1.0), item("b", "Bean"))
        assert shop.meeting({"v": {"lt": 2}}).tolist() == [True, False, False, False, False]
        tell(item("a", "Apple", v=(1.0,)))
        assert (shop.codes("v") == -1).all()
        tell(item("b", "Bean again"))
        with pytest.raises(InputError, match="holds vectors"):
            shop.meeting({"v": 1.0})

    def test_codes_tell_values_apart(self, shop: FollowingCatalogue, tell: Callable[..., int]) -> None:
        colour, first = shop.codes("colour"), shop.codes("categories")
        assert colour[0] == colour[2] != colour[1]
        assert (colour[:3] >= 0).all()
        assert colour[3] == colour[4] == -1
        assert first[0] == first[2] != first[1]
        assert first[3] == -1
        assert (shop.codes("no such attribute") == -1).all()
        tell(item("b", "Bean", colour="red"), item("f", "Fig", colour="green"))
        anew = shop.codes("colour")
        assert anew.size == 6
        assert anew[1] == anew[0] != anew[5]

    def test_an_answer_given_does_not_change_afterwards(
        self, shop: FollowingCatalogue, tell: Callable[..., int]
    ) -> None:
        available, created_at = shop.available, shop.created_at
        kept = available.copy(), created_at.copy()
        tell(ItemRemoval(at=1, item_id="a"), *(item(f"n{i}", None) for i in range(3000)))
        np.testing.assert_array_equal(available, kept[0])
        np.testing.assert_array_equal(created_at, kept[1])
        with pytest.raises(ValueError, match="read-only"):
            shop.available[0] = True

    def test_following_twice_is_following_once(self, log: EventLog, shop: FollowingCatalogue) -> None:
        version = shop.version
        shop.follow(list(log.read()))
        assert (len(shop), shop.version) == (5, version)

    def test_a_catalogue_made_anew_says_the_same(
        self, log: EventLog, catalogue: FollowingCatalogue, tell: Callable[..., int], make: Callable[..., Any]
    ) -> None:
        rng = np.random.default_rng(3)
        for at in range(120):
            name, chance = f"i{rng.integers(15)}", rng.random()
            created_at = None if rng.random() < 0.5 else float(rng.integers(100))
            attributes: Attributes = {"n": float(rng.integers(5)), f"x{rng.integers(4)}": "y"}
            if chance < 0.3:
                tell(seen("u", name))
            elif chance < 0.45:
                tell(ItemRemoval(at=at, item_id=name))
            else:
                available = bool(rng.random() < 0.8)
                tell(ItemChange(at=at, item_id=name, attributes=attributes, available=available, created_at=created_at))
        assert_same_items(make(log), catalogue)


def item(item_id: str, title: str | None, categories: tuple[str, ...] = (), **attributes: Any) -> ItemChange:
    """Return an item change with little to write."""
    return ItemChange(at=1, item_id=item_id, title=title, categories=categories, attributes=attributes)


def assert_same_items(one: Catalogue, other: Catalogue) -> None:
    """Check that two catalogues say the same of every item."""
    assert (len(one), one.version) == (len(other), other.version)
    rows = range(len(one))
    assert one.ids(np.array(rows, np.int64)) == other.ids(np.array(rows, np.int64))
    np.testing.assert_array_equal(one.available, other.available)
    np.testing.assert_array_equal(one.created_at, other.created_at)
    assert [(one.item(r), one.exists(r)) for r in rows] == [(other.item(r), other.exists(r)) for r in rows]
    assert str(_refusal(one)) == str(_refusal(other))


def _refusal(catalogue: Catalogue) -> InputError:
    with pytest.raises(InputError) as refused:
        catalogue.meeting({"no such attribute": 1})
    return refused.value

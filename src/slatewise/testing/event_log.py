"""What every event log must do. The log in memory passes the same suite as the durable one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from slatewise.domain.errors import Conflict, InputError, StorageError
from slatewise.domain.events import (
    Event,
    Impression,
    Interaction,
    ItemChange,
    ItemRemoval,
    Receipt,
    UserChange,
    UserRemoval,
)
from slatewise.ports.stores import EventLog

ACTIONS = ("view", "buy", "like")


def seen(user: str, item: str, action: str = "view", at: float | None = 1.0, **more: str) -> Interaction:
    """Return an interaction with little to write."""
    return Interaction(user_id=user, item_id=item, action=action, at=at, **more)  # type: ignore[arg-type]


class EventLogContract:
    """Subclass with a fixture ``log``: an empty log with the actions `ACTIONS`, closed afterwards."""

    @pytest.fixture
    def log(self) -> EventLog:
        raise NotImplementedError  # a suite that inherits these tests says how

    def test_an_empty_log_is_empty(self, log: EventLog) -> None:
        assert log.end == 0
        assert list(log.read()) == []
        assert len(log.interactions()) == 0
        assert list(log.impressions()) == []
        assert log.clicks() == {}
        assert log.append([]) == Receipt(accepted=0, duplicates=0, version=0)

    def test_what_is_known_at_once_is_never_behind_what_was_acknowledged(self, log: EventLog) -> None:
        for item in "abc":
            version = log.append([seen("u", item)]).version
            assert log.glance() in (None, version)
            assert log.end == version
            assert log.glance() in (None, version)

    def test_every_kind_of_event_comes_back_as_it_was(self, log: EventLog) -> None:
        events: list[Event] = [
            Interaction(user_id="ü 1", item_id="i/1", action="buy", at=1.5, value=2.5, event_id="e", request_id="r"),
            Interaction(user_id="u2", item_id="i/1", action="view", at=None),
            Impression(at=2.0, user_id="u2", request_id="r", shown=("i/1", "i2")),
            Impression(
                at=2.5, user_id="u2", request_id="q", shown=("i/1", "i2"), propensity=(1.0, 1 / 30), explored_from=3
            ),
            Impression(
                at=2.7,
                user_id="u2",
                request_id="p",
                shown=("i2",),
                context={"surface": "Küche", "hour": 7.5, "app": True, "tests": ("a", "b"), "none": ()},
            ),
            ItemChange(
                at=3.0,
                item_id="i2",
                title="Crème",
                categories=("a", "b"),
                attributes={"price": 9.5, "colour": "red", "new": True, "tags": ("x", "y"), "v": (0.1, -2.0, 1e-300)},
                available=False,
                created_at=2.5,
            ),
            ItemRemoval(at=4.0, item_id="i2"),
            UserChange(at=5.0, user_id="u3", attributes={"age": 30.0, "taste": (1 / 3, 1.0)}),
            UserRemoval(at=6.0, user_id="u3"),
        ]
        assert log.append(events) == Receipt(accepted=9, duplicates=0, version=log.end)
        assert [stored.event for stored in log.read()] == events

    def test_offsets_increase_and_every_version_reflects_what_is_below_it(self, log: EventLog) -> None:
        versions = [log.append([seen("u", f"i{i}")]).version for i in range(5)]
        offsets = [stored.offset for stored in log.read()]
        assert offsets == sorted(set(offsets))
        assert all(offset < version for offset, version in zip(offsets, versions, strict=True))
        assert all(later >= version for later, version in zip(offsets[1:], versions, strict=False))
        assert versions[-1] == log.end
        assert [len(list(log.read(0, v))) for v in versions] == [1, 2, 3, 4, 5]
        assert [len(list(log.read(v))) for v in versions] == [4, 3, 2, 1, 0]
        assert [len(log.interactions(versions[1], v)) for v in versions] == [0, 0, 1, 2, 3]

    def test_what_was_shown_can_be_passed_over(self, log: EventLog) -> None:
        shown = Impression(at=1, user_id="u", request_id="r", shown=("x",))
        log.append([shown, seen("u", "x"), shown, ItemChange(at=1, item_id="y"), shown])
        whole, rest = list(log.read()), list(log.read(impressions=False))
        assert [s.event for s in rest] == [s.event for s in whole if s.event != shown]
        assert [s.offset for s in rest] == [whole[1].offset, whole[3].offset]
        assert list(log.read(whole[2].offset, whole[3].offset, impressions=False)) == []

    def test_rows_are_dense_in_order_of_first_appearance(self, log: EventLog) -> None:
        log.append([seen("b", "y"), ItemChange(at=1, item_id="x"), seen("a", "y")])
        log.append(
            [seen("b", "z"), UserChange(at=1, user_id="c"), Impression(at=1, user_id="d", request_id="r", shown=())]
        )
        assert [(s.user, s.item) for s in log.read()] == [(0, 0), (-1, 1), (1, 0), (0, 2), (2, -1), (3, -1)]

    def test_an_impression_shown_to_nobody_has_no_user(self, log: EventLog) -> None:
        log.append([Impression(at=1, user_id="", request_id="r", shown=("x",))])
        assert [(s.user, s.item) for s in log.read()] == [(-1, -1)]
        assert [i.shown for _, i in log.impressions()] == [("x",)]

    def test_the_same_event_id_is_stored_once(self, log: EventLog) -> None:
        first = log.append([seen("u", "a", event_id="1"), seen("u", "a", event_id="1"), seen("u", "c")])
        again = log.append([seen("u", "a", at=9.0, event_id="1"), seen("u", "e", event_id="2")])
        only = log.append([seen("u", "e", request_id="r", event_id="2")])
        assert (first.accepted, first.duplicates) == (2, 1)
        assert (again.accepted, again.duplicates) == (1, 1)
        assert only == Receipt(accepted=0, duplicates=1, version=log.end)
        assert [s.event.item_id for s in log.read()] == ["a", "c", "e"]  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        "other", [seen("v", "a"), seen("u", "b"), seen("u", "a", "buy"), replace(seen("u", "a"), value=2.0)]
    )
    def test_the_same_event_id_with_another_event_is_refused(self, log: EventLog, other: Interaction) -> None:
        same = replace(other, event_id="1")
        with pytest.raises(Conflict, match=r"events\[1\]\.event_id"):
            log.append([seen("u", "a", event_id="1"), same])
        assert log.end == 0
        log.append([seen("u", "a", event_id="1")])
        with pytest.raises(Conflict, match=r"events\[2\]\.event_id"):
            log.append([seen("new", "new"), seen("u", "a", event_id="1"), same])
        log.append([seen("w", "c")])
        assert [(s.user, s.item) for s in log.read()] == [(0, 0), (1, 1)]

    def test_a_conflict_does_not_touch_who_writes_at_the_same_time(self, log: EventLog) -> None:
        log.append([seen("u", "a", event_id="1")])

        def good(me: int) -> None:
            for i in range(20):
                log.append([seen(f"u{me}", f"{i}")])

        def bad() -> None:
            for _ in range(20):
                with pytest.raises(Conflict):
                    log.append([seen("never", "never"), seen("u", "other", event_id="1")])

        together(partial(good, 0), bad, partial(good, 1))
        assert len(log.interactions()) == 41
        assert {stored.user for stored in log.read()} == {0, 1, 2}

    def test_a_log_in_order_has_no_trouble(self, log: EventLog) -> None:
        log.append([seen("u", "a")])
        assert log.trouble is None

    def test_a_duplicate_gives_no_row_to_what_only_it_names(self, log: EventLog) -> None:
        log.append([seen("u", "a", event_id="1"), seen("u", "a", event_id="1"), seen("w", "c")])
        assert [(s.user, s.item) for s in log.read()] == [(0, 0), (1, 1)]

    @pytest.mark.parametrize(
        "bad",
        [
            seen("u", "i", "veiw"),
            seen("u", "i", at=float("nan")),
            seen("u", "i", at=float("inf")),
            Interaction(user_id="u", item_id="i", action="view", at=1.0, value=float("nan")),
        ],
    )
    def test_a_bad_event_leaves_nothing_behind(self, log: EventLog, bad: Event) -> None:
        log.append([seen("u", "a")])
        with pytest.raises(InputError, match=r"events\[1\]"):
            log.append([seen("new", "new", event_id="1"), bad])
        assert log.end == next(iter(log.read())).offset + 1
        assert log.append([seen("v", "b", event_id="1")]).accepted == 1
        assert [(s.user, s.item) for s in log.read()] == [(0, 0), (1, 1)]

    def test_columns_say_what_the_events_say(self, log: EventLog) -> None:
        log.append([seen("u", "a", "like", 5.0), ItemChange(at=1, item_id="z"), seen("v", "b", "view", None)])
        log.append([Interaction(user_id="u", item_id="b", action="buy", at=2.0, value=0.5)])
        columns = log.interactions()
        assert columns.offset.tolist() == [s.offset for s in log.read() if isinstance(s.event, Interaction)]
        assert columns.user.tolist() == [0, 1, 0]
        assert columns.item.tolist() == [0, 2, 2]
        assert columns.action.tolist() == [2, 0, 1]
        np.testing.assert_array_equal(columns.at, [5.0, np.nan, 2.0])
        assert columns.value.tolist() == [1.0, 1.0, 0.5]
        assert [c.dtype for c in (columns.offset, columns.user, columns.item, columns.action)] == [np.int64] * 4
        assert columns.at.dtype == np.float64
        assert columns.value.dtype == np.float32

    def test_a_forgotten_user_is_hidden_up_to_the_removal(self, log: EventLog) -> None:
        shown = Impression(at=1, user_id="u", request_id="r", shown=("a",))
        log.append([seen("u", "a", request_id="r"), seen("v", "b", request_id="r"), shown])
        log.append([UserRemoval(at=2, user_id="u")])
        assert log.interactions().user.tolist() == [1]
        assert list(log.impressions()) == []
        assert log.clicks() == {"r": [(1, 0)]}
        log.append([shown, seen("u", "c", "buy", request_id="q")])
        assert log.interactions().item.tolist() == [1, 2]
        assert log.interactions(0, 3).user.tolist() == [1]
        assert [i for _, i in log.impressions()] == [shown]
        assert log.clicks() == {"r": [(1, 0)], "q": [(2, 1)]}
        assert len(list(log.read())) == 6

    def test_clicks_are_grouped_by_the_request_they_name(self, log: EventLog) -> None:
        log.append([seen("u", "a", request_id="r1"), seen("u", "b", "buy", request_id="r2"), seen("u", "c")])
        log.append([seen("u", "c", "like", request_id="r1")])
        assert log.clicks() == {"r1": [(0, 0), (2, 2)], "r2": [(1, 1)]}

    def test_concurrent_appends_give_one_order_without_loss_or_doubles(self, log: EventLog) -> None:
        threads, rounds = 6, 20
        receipts: list[list[Receipt]] = [[] for _ in range(threads)]

        def send(me: int) -> None:
            for i in range(rounds):
                mine = seen(f"u{me}", f"i{i}", event_id=f"{me}-{i}")
                receipts[me].append(log.append([mine, seen("all", "shared", event_id=f"shared-{i}")]))

        together(*(partial(send, me) for me in range(threads)))
        stored = list(log.read())
        assert len(stored) == threads * rounds + rounds
        assert len({s.event.event_id for s in stored}) == len(stored)  # type: ignore[union-attr]
        assert sum(r.accepted for rs in receipts for r in rs) == len(stored)
        for me in range(threads):
            mine = [s.event.event_id for s in stored if s.event.event_id.startswith(f"{me}-")]  # type: ignore[union-attr]
            assert mine == [f"{me}-{i}" for i in range(rounds)]
            assert [r.version for r in receipts[me]] == sorted(r.version for r in receipts[me])
        assert sorted({s.user for s in stored}) == list(range(threads + 1))
        assert sorted({s.item for s in stored}) == list(range(rounds + 1))

    def test_a_closed_log_takes_nothing(self, log: EventLog) -> None:
        log.append([seen("u", "a")])
        log.close()
        log.close()
        with pytest.raises(StorageError):
            log.append([seen("u", "b")])


def together(*jobs: Callable[[], object]) -> None:
    """Run all jobs at the same time and raise what the first failing one raised."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        for running in [pool.submit(job) for job in jobs]:
            running.result()

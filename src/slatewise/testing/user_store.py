"""What every user store must do: history, seen items and attributes of one user, as of the last followed event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import pytest

from slatewise.domain.events import Event, Impression, ItemChange, UserChange, UserRemoval
from slatewise.ports.stores import EventLog, Follower, UserStore
from slatewise.testing.event_log import seen


class FollowingUsers(UserStore, Follower, Protocol):
    """A user store that is kept up by following."""


HISTORY_LENGTH = 5
SEEN = (1, 2)
"""Action indexes after which an item counts as seen: buy and like."""


class UserStoreContract:
    """Subclass with fixtures ``log`` (an empty log with the actions of `testing.event_log`) and ``make``.

    ``make(log)`` returns a store as of the log's end, with `HISTORY_LENGTH` and `SEEN`.
    """

    @pytest.fixture
    def log(self) -> EventLog:
        raise NotImplementedError  # a suite that inherits these tests says how

    @pytest.fixture
    def make(self) -> Callable[[EventLog], FollowingUsers]:
        raise NotImplementedError  # a suite that inherits these tests says how

    @pytest.fixture(params=["asked before every event", "asked afterwards"])
    def tell(self, request: pytest.FixtureRequest, log: EventLog, users: FollowingUsers) -> Callable[..., int]:
        """Append events one by one and follow each; asking before puts the user where a cache would hold them."""

        def tell(*events: Event) -> int:
            for event in events:
                if request.param == "asked before every event":
                    users.state(getattr(event, "user_id", "u"))
                start = log.end
                log.append([event])
                users.follow(list(log.read(start)))
            return log.end

        return tell

    @pytest.fixture
    def users(self, log: EventLog, make: Callable[[EventLog], FollowingUsers]) -> FollowingUsers:
        return make(log)

    def test_nobody_is_blank(self, users: FollowingUsers) -> None:
        state = users.state("nobody")
        assert (state.row, state.version, len(state.history), len(state.seen)) == (-1, 0, 0, 0)
        assert users.change("nobody") is None
        assert not users.knows("nobody")
        assert users.attributes() == {}

    def test_an_event_counts_at_once(self, users: FollowingUsers, tell: Callable[..., int]) -> None:
        tell(seen("v", "a"))
        version = tell(seen("u", "b", "buy", 7.0))
        state = users.state("u")
        assert (state.row, state.version) == (1, version)
        assert (state.history.row.tolist(), state.history.action.tolist()) == ([1], [1])
        assert state.history.at.tolist() == [7.0]
        assert users.knows("u")

    def test_a_version_known_at_once_is_the_one_of_the_state(
        self, users: FollowingUsers, tell: Callable[..., int]
    ) -> None:
        for item in "abc":
            version = tell(seen("u", item))
            assert users.glance("u") in (None, version)
            assert users.state("u").version == version
            assert users.glance("u") in (None, version)

    def test_history_is_by_time_with_unknown_times_first(self, users: FollowingUsers, tell: Callable[..., int]) -> None:
        tell(*(seen("u", f"i{i}", at=at) for i, at in enumerate([5.0, None, 3.0, 5.0, None])))
        history = users.state("u").history
        assert history.row.tolist() == [1, 4, 2, 0, 3]
        np.testing.assert_array_equal(history.at, [np.nan, np.nan, 3.0, 5.0, 5.0])
        version = tell(seen("u", "old", at=1.0))
        assert users.state("u").history.row.tolist() == [4, 5, 2, 0, 3]
        assert users.state("u").version == version

    def test_history_is_bounded_and_keeps_the_newest(self, users: FollowingUsers, tell: Callable[..., int]) -> None:
        tell(*(seen("u", f"i{i}", at=float(i)) for i in range(12)))
        assert users.state("u").history.row.tolist() == [7, 8, 9, 10, 11]

    def test_seen_covers_the_whole_history_once_each(self, users: FollowingUsers, tell: Callable[..., int]) -> None:
        tell(seen("u", "a", "buy", 0.0), seen("u", "b", "view", 0.5), seen("u", "c", "like", 0.7))
        tell(*(seen("u", f"i{i % 2}", "view", float(i)) for i in range(1, 9)))
        tell(seen("u", "a", "like", 9.0))
        assert sorted(users.state("u").seen.tolist()) == [0, 2]

    def test_attributes_are_the_last_told(self, users: FollowingUsers, tell: Callable[..., int]) -> None:
        tell(UserChange(at=1, user_id="u", attributes={"age": 30.0, "city": "Bonn"}), seen("u", "a"))
        version = tell(UserChange(at=2, user_id="u", attributes={"age": 31.0}))
        state = users.state("u")
        assert (dict(state.attributes), state.version, len(state.history)) == ({"age": 31.0}, version, 1)
        assert users.change("u") == UserChange(at=2, user_id="u", attributes={"age": 31.0})
        assert users.attributes() == {0: UserChange(at=2, user_id="u", attributes={"age": 31.0})}

    def test_a_forgotten_user_starts_anew(self, users: FollowingUsers, tell: Callable[..., int]) -> None:
        tell(UserChange(at=1, user_id="u", attributes={"age": 30.0}), seen("u", "a", "buy"), seen("w", "b"))
        version = tell(UserRemoval(at=2, user_id="u"))
        state = users.state("u")
        assert (state.row, state.version, len(state.history), len(state.seen)) == (0, version, 0, 0)
        assert state.attributes == {}
        assert users.change("u") is None
        assert users.attributes() == {}
        assert not users.knows("u")
        assert users.knows("w")
        tell(seen("u", "c", "like"))
        assert users.state("u").history.row.tolist() == users.state("u").seen.tolist() == [2]
        assert users.knows("u")

    def test_what_was_shown_and_item_changes_leave_users_alone(
        self, users: FollowingUsers, tell: Callable[..., int]
    ) -> None:
        version = tell(seen("u", "a"))
        tell(Impression(at=1, user_id="u", request_id="r", shown=("a",)), ItemChange(at=1, item_id="a"))
        assert users.state("u").version == version
        assert not users.knows("shown-only")

    def test_following_twice_is_following_once(self, log: EventLog, users: FollowingUsers) -> None:
        users.state("u")
        log.append([seen("u", "a"), seen("u", "b", "buy")])
        for _ in range(2):
            users.follow(list(log.read()))
            assert users.state("u").history.row.tolist() == [0, 1]
            users.follow(list(log.read()))

    def test_a_store_made_anew_says_the_same(
        self,
        log: EventLog,
        users: FollowingUsers,
        tell: Callable[..., int],
        make: Callable[[EventLog], FollowingUsers],
    ) -> None:
        rng = np.random.default_rng(5)
        for _ in range(120):
            user = f"u{rng.integers(6)}"
            action = ("view", "buy", "like")[rng.integers(3)]
            at = None if rng.random() < 0.2 else float(rng.integers(20))
            tell(seen(user, f"i{rng.integers(9)}", action, at))
            if rng.random() < 0.1:
                tell(UserChange(at=1, user_id=user, attributes={"n": float(rng.integers(9))}))
            if rng.random() < 0.05:
                tell(UserRemoval(at=1, user_id=user))
        anew = make(log)
        assert anew.attributes() == users.attributes()
        for user in (f"u{i}" for i in range(7)):
            assert_same_user(anew, users, user)


def assert_same_user(one: UserStore, other: UserStore, user_id: str) -> None:
    """Check that two stores say the same of a user."""
    a, b = one.state(user_id), other.state(user_id)
    assert (a.row, a.version, a.attributes) == (b.row, b.version, b.attributes)
    np.testing.assert_array_equal(a.history.row, b.history.row)
    np.testing.assert_array_equal(a.history.action, b.history.action)
    np.testing.assert_array_equal(a.history.at, b.history.at)
    assert sorted(a.seen.tolist()) == sorted(b.seen.tolist())
    assert (one.change(user_id), one.knows(user_id)) == (other.change(user_id), other.knows(user_id))

"""The same question again and again, while things change behind it and while they do not."""

from dataclasses import replace

import pytest

from slatewise.domain.query import PastAction
from slatewise.serving.repeats import AGE_MS, Repeats, plain
from slatewise.testing.small_shop import NOW, FakeClock, SmallShop


@pytest.fixture
def shop():
    shop = SmallShop()
    shop.record("ann", "i3")
    shop.record("bob", "i4")
    return shop


@pytest.fixture
def repeats(build_cached, shop):
    """A recommender in front of the cached one, which notes what reaches it; its clock and its bundle."""

    class Front:
        def __init__(self, **more):
            self.clock = FakeClock()
            self.bundle = "b1"
            self.reached = []
            self.lies = {}
            behind = build_cached(shop, clock=self.clock)

            def recommend(query):
                self.reached.append(query)
                return replace(behind.recommend(query), **self.lies)

            self.front = Repeats(
                recommend,
                bundle=lambda: self.bundle,
                bundle_at_once=lambda: self.bundle,
                users=shop.users,
                catalogue=shop.catalogue,
                clock=self.clock,
                **more,
            )

        def __call__(self, query):
            """Return a slate, and whether it was the last one again."""
            before = len(self.reached)
            slate = self.front.recommend(query)
            return slate, len(self.reached) == before

        def at_once(self, query):
            """Return the slate that is known without waiting, None without one."""
            kept = self.front.at_once(plain(query))
            return None if kept is None else kept.slate

        def settled(self, query):
            """Ask until it is repeated, and return that slate."""
            for _ in range(3):
                slate, is_repeated = self(query)
                assert not is_repeated
            slate, is_repeated = self(query)
            assert is_repeated
            return slate

    return Front


def rows(slate):
    return slate.shown.row.tolist()


def name(shop, slate, position):
    return shop.catalogue.ids(slate.shown.row)[position]


def test_what_is_asked_again_and_again_is_repeated_under_its_own_request_id(repeats, ask):
    front = repeats()
    fresh, *_ = (front(ask("ann"))[0] for _ in range(3))
    slate, is_repeated = front(ask("ann", request_id="r7"))
    assert is_repeated
    assert (slate.request_id, slate.cached, rows(slate)) == ("r7", True, rows(fresh))
    assert set(slate.timing_ms) == {"total"}


def test_an_event_of_the_user_ends_it_and_hides_what_was_seen(repeats, shop, ask):
    front = repeats()
    shown = front.settled(ask("ann"))
    front.settled(ask("bob"))
    shop.record("ann", name(shop, shown, 0))
    slate, is_repeated = front(ask("ann"))
    assert not is_repeated
    assert rows(shown)[0] not in rows(slate)
    assert front(ask("bob"))[1], "others are not concerned"


def test_a_removed_item_is_never_repeated(repeats, shop, ask):
    front = repeats()
    shown = front.settled(ask("ann"))
    shop.remove(name(shop, shown, 2))
    slate, is_repeated = front(ask("ann"))
    assert not is_repeated
    assert rows(shown)[2] not in rows(slate)


def test_another_bundle_ends_it(repeats, ask):
    front = repeats()
    front.settled(ask("ann"))
    front.bundle = "b2"
    assert not front(ask("ann"))[1]


@pytest.mark.parametrize(
    "later", [{"clock": AGE_MS + 1}, {"at": NOW + AGE_MS / 1000 + 1}, {"at": NOW - AGE_MS / 1000 - 1}]
)
def test_after_a_while_it_is_composed_anew(repeats, ask, later):
    front = repeats()
    front.settled(ask("ann"))
    front.clock.ms += later.pop("clock", 0)
    assert not front(ask("ann", **later))[1]


@pytest.mark.parametrize("asked", [
    {"size": 4}, {"context": {"device": "phone"}}, {"exclude": frozenset({"i9"})}, {"where": {"colour": "red"}},
    {"weights": {"buy": 2.0}}, {"explain": True}, {"min_version": 1}, {"history": (PastAction(item_id="i1"),)},
    {"vector": (1.0, 0.0, 0.0, 0.0)},
])  # fmt: skip
def test_another_question_is_never_answered_by_it(repeats, ask, asked):
    front = repeats()
    last = front.settled(ask("ann"))
    front.front._recommend = lambda query: front.reached.append(query) or replace(last, cached=False)
    assert not any(front(ask("ann", **asked))[1] for _ in range(4))
    assert front(ask("ann"))[1]


def test_the_same_context_is_the_same_question(repeats, ask):
    front = repeats()
    front.settled(ask("ann", context={"device": "phone", "hour": 7.0}))
    assert front(ask("ann", context={"hour": 7.0, "device": "phone"}))[1]


def test_what_is_degraded_or_fresh_is_never_repeated(repeats, ask):
    front = repeats()
    for lies in ({"degraded": ("ranking: gone",)}, {"cached": False}):
        front.lies = lies
        assert not any(front(ask("ann"))[1] for _ in range(5))


def test_where_places_are_explored_each_slate_has_its_own_draw(repeats, ask):
    front = repeats(explored=True)
    assert not any(front(ask("ann"))[1] for _ in range(5))


def test_versions_are_read_before_the_slate_that_is_kept_under_them(repeats, shop, ask):
    """An item goes while the slate is composed: what was kept must not come back."""
    front = repeats()
    for _ in range(2):
        shown, _ = front(ask("ann"))
    behind = front.front._recommend

    def composed_then_removed(query):
        slate = behind(query)
        shop.remove(name(shop, slate, 0))
        return slate

    front.front._recommend = composed_then_removed
    front(ask("ann"))
    front.front._recommend = behind
    slate, is_repeated = front(ask("ann"))
    assert not is_repeated
    assert rows(shown)[0] not in rows(slate)


def test_what_would_be_repeated_is_known_at_once_and_by_its_question_alone(repeats, ask):
    front = repeats()
    assert front.at_once(ask("ann")) is None
    shown = front.settled(ask("ann"))
    assert rows(front.at_once(ask("ann", request_id="r9", at=NOW + 1))) == rows(shown)
    assert front.at_once(ask("bob")) is None
    assert plain(ask("ann", where={"colour": "red"})) is None


def event(front, shop, shown):
    shop.record("ann", name(shop, shown, 0))


def removal(front, shop, shown):
    shop.remove(name(shop, shown, 0))


def promotion(front, shop, shown):
    front.bundle = "b2"


def unwatched(front, shop, shown):
    front.bundle = None


def unread(front, shop, shown):
    shop.users.glance = lambda user_id: None


def age(front, shop, shown):
    front.clock.ms += AGE_MS + 1


@pytest.mark.parametrize("change", [event, removal, promotion, unwatched, unread, age])
def test_nothing_is_known_at_once_that_may_have_changed(repeats, shop, ask, change):
    front = repeats()
    shown = front.settled(ask("ann"))
    assert front.at_once(ask("ann")) is not None
    change(front, shop, shown)
    assert front.at_once(ask("ann")) is None


def test_where_places_are_explored_nothing_is_known_at_once(repeats, ask):
    front = repeats(explored=True)
    for _ in range(4):
        front(ask("ann"))
    assert front.at_once(ask("ann")) is None

"""Which slate an interaction came from: by the request it names, or by what its item was taken from."""

from pathlib import Path

import numpy as np
import pytest

import slatewise
from slatewise.domain.columns import Interactions
from slatewise.domain.events import Impression, Interaction, ItemChange
from slatewise.training.attribution import leading_to, named_by_requests, with_follow_ups
from slatewise.wiring.train_job import read_input

VIEW, CLICK, CART, BUY = range(4)
WEIGHTS = np.array([0.1, 1.0, 2.0, 4.0])
HOUR = 3600.0
START = 1.7e9


def interactions(*rows: tuple[int, int, int, float]) -> Interactions:
    """Return interactions of ``(user, item, action, hours)`` in log order."""
    user, item, action, hours = np.array(rows).reshape(-1, 4).T
    n = len(rows)
    return Interactions(
        np.arange(n), user.astype(int), item.astype(int), action.astype(int), START + HOUR * hours, np.ones(n, "f4")
    )


def shown(name: str, user: int, hours: float, *items: int) -> tuple[int, int, Impression, np.ndarray]:
    told = Impression(at=START + HOUR * hours, user_id=f"u{user}", request_id=name, shown=tuple(map(str, items)))
    return 0, user, told, np.array(items)


def follow_ups(done: Interactions, slates, reactions, hours: float = 24.0):  # type: ignore[no-untyped-def]
    return with_follow_ups(done, slates, reactions, WEIGHTS, hours)


def test_interactions_that_a_slate_led_to_are_known_by_user_item_and_action() -> None:
    held = interactions((0, 3, 1, 0), (0, 4, 1, 1), (1, 3, 1, 2), (1, 3, 0, 3), (2, 3, 1, 4))
    slates = [shown("r", 1, 0, 3, 4), shown("q", 1, 0, 3, 4)]
    told = {"r": [(3, 1)], "unknown": [(4, 1)]}
    assert named_by_requests(held, slates, told).tolist() == [False, False, True, False, False]
    assert leading_to(held, slates, told).tolist() == [True, False]
    assert not named_by_requests(held, [], {"r": [(3, 1)]}).any()


def test_a_purchase_that_names_no_request_belongs_to_the_slate_that_was_clicked_on() -> None:
    done = interactions((1, 3, CLICK, 0.01), (1, 3, BUY, 5.0))
    found = follow_ups(done, [shown("r", 1, 0, 3, 4)], {"r": [(3, CLICK)]})
    assert found == {"r": [(3, CLICK), (3, BUY)]}
    assert named_by_requests(done, [shown("r", 1, 0, 3, 4)], found).all(), "it is not taken for found alone as well"
    held_out = done.take(slice(1, 2))
    assert leading_to(held_out, [shown("r", 1, 0, 3, 4)], found).all(), (
        "held out, it takes the slate that tells it along"
    )


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ((2, 3, BUY, 5.0), "of another user"),
        ((1, 4, BUY, 5.0), "of an item that was shown and not taken"),
        ((1, 3, BUY, 24.5), "too late"),
        ((1, 3, BUY, -1.0), "before it was shown"),
        ((1, 3, BUY, np.nan), "at an unknown time"),
        ((1, 3, VIEW, 5.0), "lighter than the click"),
        ((1, 3, CLICK, 5.0), "named as it is"),
    ],
)
def test_what_follows_from_nothing_belongs_to_no_slate(event: tuple[int, int, int, float], why: str) -> None:
    done = interactions((1, 3, CLICK, 0.01), event)
    assert follow_ups(done, [shown("r", 1, 0, 3, 4)], {"r": [(3, CLICK)]}) == {"r": [(3, CLICK)]}, why


def test_of_several_slates_the_newest_that_was_taken_up_counts_and_each_action_once() -> None:
    slates = [shown("late", 1, 4, 3), shown("ignored", 1, 5, 3), shown("early", 1, 0, 3), shown("other", 2, 4.5, 3)]
    told = {"early": [(3, CLICK)], "late": [(3, CLICK)], "other": [(3, CLICK)]}
    done = interactions((1, 3, CART, 6.0), (1, 3, BUY, 7.0), (1, 3, BUY, 8.0), (1, 3, CART, 1.0))
    found = follow_ups(done, slates, told)
    assert found == {
        "early": [(3, CLICK), (3, CART)],
        "late": [(3, CLICK), (3, CART), (3, BUY)],
        "other": [(3, CLICK)],
    }
    assert told["late"] == [(3, CLICK)], "what was given stays as it was"


def test_what_names_its_request_is_left_where_it_is() -> None:
    slates = [shown("r", 1, 0, 3), shown("q", 1, 2, 3)]
    told = {"r": [(3, CLICK), (3, BUY)], "q": [(3, CLICK)]}
    assert follow_ups(interactions((1, 3, BUY, 3.0)), slates, told) == told


def test_at_an_instant_the_slate_comes_first_and_no_hours_ask_for_nothing() -> None:
    slates, told = [shown("r", 1, 0, 3)], {"r": [(3, CLICK)]}
    assert follow_ups(interactions((1, 3, BUY, 0.0)), slates, told) == {"r": [(3, CLICK), (3, BUY)]}
    assert follow_ups(interactions((1, 3, BUY, 0.0)), slates, told, hours=0.0) is told
    assert follow_ups(interactions(), slates, told) == told
    assert follow_ups(interactions((1, 3, BUY, 0.0)), [], told) == told


def test_what_is_bought_at_the_till_is_learned_from_the_slate(tmp_path: Path) -> None:
    settings = {"training.deep": "off", "training.dim": 8}
    with slatewise.open(tmp_path / "home", settings=settings) as home:
        home.put_items([ItemChange(at=START, item_id=f"i{n}") for n in range(20)])
        home.record(
            [Interaction(user_id=f"u{n % 5}", item_id=f"i{n % 20}", action="click", at=START + n) for n in range(30)]
        )
        home.train()
        slate = home.recommend("u1", size=5)
        taken, passed = slate.items[0].item_id, slate.items[1].item_id
        now = home.clock.now()
        home.record(
            [
                Interaction(user_id="u1", item_id=taken, action="click", at=now, request_id=slate.request_id),
                Interaction(user_id="u1", item_id=taken, action="buy", at=now + HOUR),
                Interaction(user_id="u1", item_id=passed, action="buy", at=now + HOUR),
            ]
        )
        assert home._impressions.flush()
        row, names = home.catalogue.row(taken), list(home.settings.actions)
        given = read_input(home._log, home.catalogue, home._users, home.settings)
        assert given.reactions[slate.request_id] == [(row, names.index("click")), (row, names.index("buy"))]

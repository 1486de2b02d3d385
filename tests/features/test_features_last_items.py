from itertools import pairwise
from types import ModuleType

import numpy as np
import pytest

from slatewise.features import counting_numpy, last_items
from slatewise.features.last_items import WAYS, LastItems

SLOTS, WIDTH = 32, 4


def stream(n: int = 4_000, users: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return (rng.zipf(1.3, n) - 1) % users, rng.integers(0, 500, n)


def by_hand(user: np.ndarray, item: np.ndarray) -> list[list[int]]:
    """Return what came before each item, of the `WAYS` users per place that were active last."""
    places: list[dict[int, list[int]]] = [{} for _ in range(SLOTS // WAYS)]
    found = []
    for who, what in zip(user.tolist(), item.tolist(), strict=True):
        place = places[who % len(places)]
        if who not in place and len(place) == WAYS:
            del place[next(iter(place))]
        held = place.pop(who, [-1] * WIDTH)
        found.append(held)
        place[who] = [what, *held[:-1]]  # at the end: active last
    return found


@pytest.mark.parametrize("kernel", ["native", "numpy"])
def test_it_holds_the_users_that_were_active_last(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    native = pytest.importorskip("slatewise.features._counts") if kernel == "native" else None
    counting: ModuleType = native or counting_numpy
    monkeypatch.setattr(last_items, "counting", counting)
    user, item = stream()
    whole = LastItems(WIDTH, SLOTS).follow(user, item)
    assert whole.tolist() == by_hand(user, item)
    assert (whole[:, 0] < 0).sum() > 60, "some were forgotten"
    parts = LastItems(WIDTH, SLOTS)
    found = [parts.follow(user[lo:hi], item[lo:hi]) for lo, hi in pairwise([0, 1, 2, 700, 700, 4_000])]
    assert np.array_equal(np.concatenate(found), whole)


def test_it_goes_on_where_it_was_saved() -> None:
    user, item = stream(users=1_000)
    whole, half = LastItems(WIDTH), LastItems(WIDTH)
    expected = whole.follow(user, item)
    half.follow(user[:2_500], item[:2_500])
    assert np.array_equal(
        LastItems.restored(WIDTH, half.columns()).follow(user[2_500:], item[2_500:]), expected[2_500:]
    )
    with pytest.raises(ValueError, match="a slot outside"):
        LastItems.restored(WIDTH, half.columns() | {"last_slot": np.array([1 << 40])})


def test_what_a_former_release_saved_of_every_user_is_taken_over() -> None:
    recent = np.array([[-1, -1, 7, 8], [-1, -1, -1, -1], [1, 2, 3, 4]])
    taken = LastItems.restored(4, {"recent": recent})
    assert taken.follow(np.arange(3), np.zeros(3, np.int64)).tolist() == [[8, 7, -1, -1], [-1] * 4, [4, 3, 2, 1]]


def test_rows_that_make_no_sense_are_refused() -> None:
    native = pytest.importorskip("slatewise.features._counts")
    user, table = np.zeros(2, np.int64), (np.zeros(16, np.int64), np.zeros(16, np.int64), np.zeros((16, 4), np.int32))
    with pytest.raises(ValueError, match="rows from 0 on"):
        native.follow(user - 1, user, *table, WAYS, 0, np.zeros((2, 4), np.int32))
    with pytest.raises(ValueError, match="ways"):
        native.follow(user, user, *table, 5, 0, np.zeros((2, 4), np.int32))
    with pytest.raises(ValueError, match="before"):
        native.follow(user, user, *table, WAYS, 0, np.zeros((1, 4), np.int32))
    with pytest.raises(ValueError, match=r"2\^31"):
        LastItems(WIDTH, SLOTS).follow(user, user + (1 << 31))

"""The simulated shop: its past is consistent, and what it says is true is what happens."""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from slatewise.datasets import Dataset, read_folder
from slatewise.datasets.shop import Shop, ShopSettings, generate, write_shop
from slatewise.domain.errors import InputError, NotFound

SMALL = ShopSettings(n_items=500, n_users=250, days=20, n_categories=16, seed=3)
LATER = SMALL.end + 3_600.0
GAP_S = 1_800.0


@pytest.fixture(scope="module")
def past() -> Dataset:
    return generate(SMALL)[0]


@pytest.fixture
def shop() -> Shop:
    return generate(ShopSettings(n_items=300, n_users=60, days=5, n_categories=12, seed=3))[1]


def clicked_in(past: Dataset) -> dict[str | None, set[str]]:
    found: dict[str | None, set[str]] = defaultdict(set)
    for event in past.interactions:
        if event.action == "click":
            found[event.request_id].add(event.item_id)
    return found


def test_the_same_settings_give_the_same_shop_and_another_seed_another() -> None:
    tiny = {"n_items": 60, "n_users": 8, "days": 3}
    first, second, other = (generate(ShopSettings(**tiny, seed=seed))[0] for seed in (1, 1, 2))
    assert first == second
    assert first.items != other.items
    assert first.interactions != other.interactions


def test_a_written_shop_reads_back_equal(past: Dataset, tmp_path: Path) -> None:
    write_shop(past, tmp_path / "new")
    found = read_folder(
        tmp_path / "new",
        mapping={},
        default_action="view",
        actions=("view", "click", "cart", "buy"),
        now=SMALL.end,
        strict=True,
    )
    assert found.interactions == past.interactions
    assert found.items == past.items
    assert found.users == past.users
    assert found.impressions == past.impressions
    assert found.rows_read == past.rows_read


def test_every_act_follows_from_something_shown_or_found(past: Dataset) -> None:
    slates = {impression.request_id: impression for impression in past.impressions}
    created = {item.item_id: item.created_at for item in past.items}
    done: dict[str | None, set[tuple[str, str]]] = defaultdict(set)
    assert [e.at for e in past.interactions] == sorted(e.at for e in past.interactions)
    assert len({e.event_id for e in past.interactions}) == len(past.interactions)
    for event in past.interactions:
        assert created[event.item_id] <= event.at < SMALL.end
        assert (event.request_id is None) == (event.action == "view")
        if event.request_id is not None:
            slate = slates[event.request_id]
            assert event.user_id == slate.user_id
            assert event.item_id in slate.shown
            assert slate.at < event.at < slate.at + 60
            before = {"click": None, "cart": "click", "buy": "cart"}[event.action]
            assert before is None or (before, event.item_id) in done[event.request_id]
            done[event.request_id].add((event.action, event.item_id))
    assert all(len(set(slate.shown)) == SMALL.slate_size for slate in slates.values())


def test_some_items_arrive_during_the_period_and_are_clicked(past: Dataset) -> None:
    new = {item.item_id for item in past.items if item.created_at is not None and item.created_at > SMALL.start}
    assert len(new) == 75
    assert sum(event.item_id in new for event in past.interactions) > 100


def test_past_clicks_come_as_often_as_the_truth_says_at_every_position() -> None:
    past, shop = generate(ShopSettings(n_items=200, n_users=150, days=20, n_categories=10, seed=5, position_bias=0.8))
    clicks = clicked_in(past)
    expected, seen = np.zeros(10), np.zeros(10)
    for slate in past.impressions:
        expected += shop.true_click_probability(slate.user_id, slate.shown, slate.at)
        seen += [item_id in clicks[slate.request_id] for item_id in slate.shown]
    looked = (1.0 + np.arange(10)) ** -0.8
    # Some thousand clicks per position: four standard errors.
    assert np.all(np.abs(seen - expected * looked) < 4 * np.sqrt(seen))


def test_click_through_falls_with_the_position_by_the_designed_power() -> None:
    for bias in (0.0, 0.7, 1.2):
        settings = ShopSettings(n_items=200, n_users=150, days=20, seed=2, position_bias=bias)
        past, shop = generate(settings)
        clicks = {(e.request_id, e.item_id) for e in past.interactions if e.action == "click"}
        clicked, wanted = np.zeros(settings.slate_size), np.zeros(settings.slate_size)
        for slate in past.impressions:
            clicked += [(slate.request_id, item_id) in clicks for item_id in slate.shown]
            wanted += shop.true_click_probability(slate.user_id, slate.shown, slate.at)
        # Divided by what was wanted: the policy puts better items first, which is no bias of the position.
        slope = np.polyfit(np.log1p(np.arange(settings.slate_size)), np.log(clicked / wanted), 1)[0]
        assert slope == pytest.approx(-bias, abs=0.08)


def test_live_users_click_as_often_as_the_truth_says(shop: Shop) -> None:
    rng, user = np.random.default_rng(0), shop.user_ids[4]
    shown = shop.item_ids[:10]
    expected, seen, rounds = np.zeros(10), np.zeros(10), 3000
    for turn in range(rounds):
        at = LATER + turn * 10 * GAP_S
        expected += shop.true_click_probability(user, shown, at)
        clicked = [item_id for item_id, action in shop.react(user, shown, at, rng) if action == "click"]
        seen += [item_id in clicked for item_id in shown]
    expected *= (1.0 + np.arange(10)) ** -shop.settings.position_bias
    assert np.all(np.abs(seen - expected) < 4 * np.sqrt(np.maximum(expected, 1)))
    assert seen.sum() > 100


def click_something(shop: Shop, user: str, at: float) -> str:
    """Show slates until the user clicks exactly one item, and return it."""
    rng = np.random.default_rng(1)
    for turn in range(10_000):
        item_id = shop.item_ids[turn % len(shop.item_ids)]
        if shop.react(user, [item_id], at, rng) == [(item_id, "click")]:
            return item_id
    raise AssertionError("nobody clicks")


def test_a_click_raises_items_near_by_until_the_visit_is_over(shop: Shop) -> None:
    user, leaf = shop.user_ids[0], {item.item_id: item.categories[0] for item in generate(shop.settings)[0].items}
    before = shop.true_click_probability(user, shop.item_ids, LATER)
    clicked = click_something(shop, user, LATER)
    near = np.array([leaf[i] == leaf[clicked] and i != clicked for i in shop.item_ids])
    far = np.array([leaf[i] != leaf[clicked] for i in shop.item_ids])
    after = shop.true_click_probability(user, shop.item_ids, LATER + 60)
    assert np.median(after[near] / before[near]) > 3 * np.median(after[far] / before[far])
    assert after[shop.item_ids.index(clicked)] < after[near].max()
    gone = shop.true_click_probability(user, shop.item_ids, LATER + 60 + GAP_S)
    assert np.allclose(gone, before, rtol=0.05)


def test_what_was_bought_is_wanted_no_more(shop: Shop) -> None:
    rng, user, at = np.random.default_rng(2), shop.user_ids[1], LATER
    bought: list[str] = []
    for turn in range(2000):
        at = LATER + turn * 60
        shown = [shop.item_ids[(turn * 10 + place) % 300] for place in range(10)]
        bought = [item_id for item_id, action in shop.react(user, shown, at, rng) if action == "buy"]
        if bought:
            break
    before, after = (
        shop.true_click_probability(user, bought[:1], when)[0] for when in (at - 2 * GAP_S, at + 2 * GAP_S)
    )
    assert after < before / 50


def test_tastes_drift_only_where_the_settings_say_so() -> None:
    for drift, least, most in ((0.0, 0.0, 1e-6), (1.0, 0.02, 1.0)):
        settings = ShopSettings(n_items=200, n_users=20, days=5, drift=drift)
        _, shop = generate(settings)
        items = shop.item_ids[:150]
        moved = [
            np.abs(
                shop.true_click_probability(user, items, settings.end + GAP_S)
                - shop.true_click_probability(user, items, settings.end + 5 * 86_400)
            ).mean()
            for user in shop.user_ids
        ]
        assert least <= np.mean(moved) <= most


def test_the_order_of_acts_tells_the_next_one(past: Dataset) -> None:
    leaf = {item.item_id: item.categories[0] for item in past.items}
    touched = defaultdict(list)
    for event in past.interactions:
        if event.action in ("view", "click"):
            touched[event.user_id].append(event)
    alike: dict[bool, list[bool]] = {True: [], False: []}
    for events in touched.values():
        for first, second in pairwise(events):
            alike[second.at - first.at < GAP_S].append(leaf[first.item_id] == leaf[second.item_id])
    assert np.mean(alike[True]) > 2 * np.mean(alike[False])
    assert np.mean(alike[True]) > 5 / SMALL.n_categories


def test_two_slates_at_one_instant_are_seen_one_after_the_other(shop: Shop) -> None:
    user = shop.user_ids[2]
    clicked = click_something(shop, user, LATER)
    with_memory = shop.true_click_probability(user, shop.item_ids, LATER + 1)
    assert shop.item_ids[int(with_memory.argmax())] != clicked
    assert np.array_equal(
        shop.true_click_probability(user, shop.item_ids, LATER - 1e-3),
        generate(shop.settings)[1].true_click_probability(user, shop.item_ids, LATER - 1e-3),
    ), "what comes later changes nothing before it"


def test_new_items_and_users_join_in(shop: Shop) -> None:
    rng = np.random.default_rng(5)
    item = shop.new_item(rng, LATER)
    user = shop.new_user(rng, LATER)
    assert item.item_id == "item-00300"
    assert item.created_at == LATER
    assert item.title
    assert user.user_id == "user-00060"
    assert set(user.attributes) == {"age_band", "country"}
    assert shop.true_click_probability(user.user_id, [item.item_id], LATER - 1).tolist() == [0.0]
    assert shop.true_click_probability(user.user_id, [item.item_id], LATER)[0] > 0
    assert shop.react(user.user_id, [item.item_id], LATER - 1, rng) == []
    assert user.user_id in {shop.next_visitor(rng) for _ in range(3000)}
    assert shop.new_user(rng).at == shop.settings.end


def test_a_visit_begins_with_a_user_who_is_not_in_one(shop: Shop) -> None:
    busy = shop.user_ids[:25]
    for user in busy:
        click_something(shop, user, LATER)
    rng = np.random.default_rng(0)
    assert not {shop.session(rng, LATER + 30) for _ in range(30)} & set(busy)


def test_unknown_ids_are_not_found(shop: Shop) -> None:
    with pytest.raises(NotFound):
        shop.true_click_probability("nobody", shop.item_ids[:1], LATER)
    with pytest.raises(NotFound):
        shop.react(shop.user_ids[0], ["nothing"], LATER, np.random.default_rng(0))


@pytest.mark.parametrize(
    "wrong", [{"n_items": 0}, {"days": 0}, {"view_share": 1.5}, {"position_bias": float("nan")}, {"slate_size": 31}]
)
def test_settings_that_make_no_shop_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        ShopSettings(**wrong)  # type: ignore[arg-type]

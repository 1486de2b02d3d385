"""Tastes learned from what was shown: a planted world where brand decides what is taken, and places what is seen."""

from dataclasses import replace

import numpy as np
import pytest

from slatewise.domain.columns import Interactions
from slatewise.domain.events import Impression
from slatewise.domain.settings import TrainingSettings
from slatewise.ports.models import Bag
from slatewise.training.material import Material, TrainingInput
from slatewise.training.moments import impression_moments, interaction_moments

pytest.importorskip("torch", reason="tastes are fitted with torch, of the extra slatewise[train]")
from slatewise.training.fit_tastes import FittedTastes, fit_tastes
from slatewise.training.learn_tastes import learn_tastes
from slatewise.training.progress import Silent
from slatewise.training.shown import Shown, shown_of

START = 1.7e9
ITEMS, USERS, SLATES, SIZE = 40, 60, 2_600, 6
BRAND = np.arange(ITEMS) % 2
CHARM = 3
"""One item that everybody takes."""


def world(seed: int = 0, steepness: float = 1.0) -> TrainingInput:
    """Users of even rows take even rows, of odd rows odd ones; what stands low is seldom looked at."""
    rng = np.random.default_rng(seed)
    impressions, reactions, log = [], {}, []
    offset = 0
    for n in range(SLATES):
        user, at = int(rng.integers(USERS)), START + 600.0 * n
        shown = rng.choice(ITEMS, SIZE, replace=False)
        chance = (
            np.where(shown == CHARM, 0.9, np.where(BRAND[shown] == user % 2, 0.5, 0.05))
            / (1.0 + np.arange(SIZE)) ** steepness
        )
        request = f"r{n}"
        impressions.append((offset, user, Impression(at=at, user_id=f"u{user}", request_id=request, shown=()), shown))
        offset += 1
        for row in shown[rng.random(SIZE) < chance].tolist():
            reactions.setdefault(request, []).append((row, 0))
            log.append((offset, user, row, 0, at + 5.0, 1.0))
            offset += 1
    columns = [np.array(column) for column in zip(*log, strict=True)]
    interactions = Interactions(*columns[:4], columns[4].astype(np.float64), columns[5].astype(np.float32))
    return TrainingInput(interactions, impressions, reactions, [], {}, None, offset)  # type: ignore[arg-type]


def material_of(interactions: Interactions) -> Material:
    """Every item has its brand's token, 1 or 2, and one word of no meaning, with half the weight."""
    items = Bag(np.stack([1 + BRAND, 3 + np.arange(ITEMS) % 5], 1), np.tile([1.0, 0.5], (ITEMS, 1)).astype(np.float32))
    nobody = Bag(np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32))
    return Material(interactions, ITEMS, items, 8, nobody, 1, ("click",), frozenset({0}))


NOTHING_FOUND = shown_of([], 1)


@pytest.fixture(scope="module")
def given() -> TrainingInput:
    return world()


def shown_in(given: TrainingInput) -> Shown:
    rng = np.random.default_rng(0)
    moments = impression_moments(given.impressions, given.reactions, given.interactions, SLATES, rng)
    return shown_of(moments, 1)


@pytest.fixture(scope="module")
def fitted(given: TrainingInput) -> FittedTastes:
    return fit_tastes(shown_in(given), NOTHING_FOUND, material_of(given.interactions), 16, 0, Silent())


def test_a_slate_is_read_as_it_was(given: TrainingInput) -> None:
    shown = shown_in(given)
    taken = sum(map(len, given.reactions.values()))
    assert len(shown) == SLATES
    assert shown.taken.sum() == taken
    assert (shown.past[0] == -1).all(), "nobody had done anything before the first slate"
    last = shown.past[-1][shown.past[-1] >= 0]
    user = given.interactions.user == shown.user[-1]
    np.testing.assert_array_equal(last, given.interactions.item[user][given.interactions.at[user] < START + 600 * 2599])
    place = np.isin(shown.item[-1], last)
    np.testing.assert_array_equal(shown.met[-1, :, 0] > 0, place)


def test_what_is_taken_together_lies_together(fitted: FittedTastes, given: TrainingInput) -> None:
    tastes = fitted.table.items(material_of(given.interactions).items)
    near = tastes[:, :-1] @ tastes[:, :-1].T
    same = BRAND[:, None] == BRAND[None]
    assert near[same].mean() > near[~same].mean() + 0.5
    assert tastes[:, -1].argmax() == CHARM, "who is taken by all has appeal"
    assert fitted.earn_their_place
    assert fitted.loss < 0.97 * fitted.loss_of_rates


def test_an_unseen_item_lies_where_its_brand_does(fitted: FittedTastes, given: TrainingInput) -> None:
    tastes = fitted.table.items(material_of(given.interactions).items)
    new = fitted.table.item(ITEMS + 5, Bag(np.array([[2, 3]]), np.array([[1.0, 0.5]], np.float32)))
    near = tastes[:, :-1] @ new[:-1]
    assert near[BRAND == 1].mean() > near[BRAND == 0].mean() + 0.4


def test_what_is_never_shown_but_found_has_a_taste_too(given: TrainingInput) -> None:
    hidden = np.arange(ITEMS) >= 30
    material = material_of(given.interactions)
    bare = replace(material, items=Bag(np.where(hidden[:, None], 0, material.items.token), material.items.weight))
    shown = shown_in(given)
    shown = replace(
        shown,
        item=np.where(hidden[shown.item], -1, shown.item),
        taken=shown.taken * ~hidden[shown.item],
        past=np.where(hidden[shown.past], -1, shown.past),
    )
    moments = interaction_moments(
        given.interactions, np.ones(len(given.interactions), bool), frozenset({0}), 10_000, np.random.default_rng(0)
    )
    found = shown_of([replace(m, shown=np.array(list(m.wanted))) for m in moments], 1)
    apart = []
    for told in (NOTHING_FOUND, found):
        tastes = fit_tastes(shown, told, bare, 16, 0, Silent(), passes=3).table.items(bare.items)
        near, same = tastes[hidden, :-1] @ tastes[~hidden, :-1].T, BRAND[hidden, None] == BRAND[~hidden]
        apart.append(near[same].mean() - near[~same].mean())
    assert apart[1] > apart[0] + 0.1


def test_tastes_that_say_nothing_are_not_kept(given: TrainingInput) -> None:
    shown = shown_in(given)
    rng = np.random.default_rng(1)
    random = replace(shown, taken=rng.permuted(shown.taken, axis=0))
    assert not fit_tastes(random, NOTHING_FOUND, material_of(given.interactions), 16, 0, Silent()).earn_their_place


def test_tastes_that_know_no_places_are_not_judged_by_places() -> None:
    steep = world(steepness=3.0)
    blind = fit_tastes(shown_in(steep), NOTHING_FOUND, material_of(steep.interactions), 16, 0, Silent(), False)
    assert blind.earn_their_place, "places alone say more than taste here"


def test_the_ranker_learns_beside_tastes_of_before_and_serving_has_all(given: TrainingInput) -> None:
    material = material_of(given.interactions)
    later = given.interactions.at >= START + 600.0 * 2_100
    training, rng = TrainingSettings(dim=8), np.random.default_rng(0)
    learned = learn_tastes(given, material, later, training, Silent(), rng)
    assert learned is not None
    changed = [entry for entry in given.impressions if entry[2].at < START + 600.0 * 2_100]
    again = learn_tastes(replace(given, impressions=changed), material, later, training, Silent(), rng)
    assert again is not None
    np.testing.assert_array_equal(learned.past.tokens, again.past.tokens, err_msg="what came later changes nothing")
    assert not np.array_equal(learned.served.tokens, again.served.tokens)
    few = replace(given, impressions=given.impressions[:1_500])
    assert learn_tastes(few, material, later, training, Silent(), rng) is None, "too few slates"
    counted = replace(material, interactions=replace(given.interactions, at=np.arange(len(later), dtype=np.float64)))
    assert learn_tastes(given, counted, later, training, Silent(), rng) is None, "places in an order are no times"

"""Propensities say how likely each shown item was to stand in its place, given the candidates."""

from collections import Counter

import numpy as np
import pytest

from slatewise.domain.settings import PinSettings, RerankingSettings
from slatewise.reranking.compose import SlateReranker
from slatewise.reranking.exploration import propensity
from slatewise.testing.small_shop import NOW, SmallShop, item_vectors
from slatewise.testing.stages import candidates, resolved

DRAWS = 6000


@pytest.fixture
def shop():
    made = SmallShop()
    for name in ("new-a", "new-b", "new-c"):
        made.put(name, created_at=NOW, categories=("fresh",))
    return made


def arranger(settings, shop):
    return SlateReranker(settings, shop.catalogue, item_vectors, np.random.default_rng(11))


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_what_is_logged_is_how_often_it_happens(shop, probability):
    arranging = arranger(RerankingSettings(exploration=probability), shop)
    ranked = candidates([*range(20), 40, 41, 42])
    seen, logged = Counter(), {}
    for _ in range(DRAWS):
        arranged = arranging.arrange(resolved(), ranked, 5)
        last = int(arranged.position[-1])
        seen[last] += 1
        logged.setdefault(last, set()).add(float(arranged.propensity[-1]))
        assert arranged.propensity[:-1].tolist() == [1.0] * 4
        assert arranged.explored_from == (3 if arranged.reason[-1] == "explored" else 0)
    assert set(seen) == {4, 20, 21, 22}
    assert all(len(said) == 1 for said in logged.values()), "one outcome has one propensity"
    likely = {last: said.pop() for last, said in logged.items()}
    assert sum(likely.values()) == pytest.approx(1.0, abs=1e-6)
    for last, said in likely.items():
        error = np.sqrt(said * (1 - said) / DRAWS)
        assert abs(seen[last] / DRAWS - said) <= 3 * error, (last, said)


@pytest.mark.parametrize("eligible", [1, 2, 7])
@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_all_outcomes_together_are_certain(eligible, probability):
    drawn = eligible * propensity(True, eligible, probability) if probability else 0.0
    assert drawn + propensity(False, eligible, probability) == pytest.approx(1.0)


def test_where_nothing_can_be_drawn_everything_is_certain(shop):
    old = candidates(range(20))
    both = candidates([*range(20), 40])
    for settings, ranked, size in [
        (RerankingSettings(exploration=0.5), old, 5),  # no new item
        (RerankingSettings(), both, 5),  # off
        (RerankingSettings(exploration=0.5), both, 30),  # room at the end
        (RerankingSettings(exploration=0.5, pins=(PinSettings("i7", 4),)), both, 5),  # the last place is pinned
        (RerankingSettings(exploration=0.5, cap=1), candidates([40, 1, 2, 3, 41]), 4),  # the cap leaves none
    ]:
        for _ in range(20):
            arranged = arranger(settings, shop).arrange(resolved(), ranked, size)
            assert arranged.propensity.tolist() == [1.0] * arranged.position.size
            assert arranged.explored_from == 0
            assert arranged.propensity.dtype == np.float32


def test_certain_exploration_leaves_nothing_to_the_ordinary_item(shop):
    arranged = arranger(RerankingSettings(exploration=1.0), shop).arrange(
        resolved(), candidates([*range(9), 40, 41]), 5
    )
    assert arranged.propensity[-1] == pytest.approx(0.5)

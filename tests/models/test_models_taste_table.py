import numpy as np

from slatewise.models.taste_table import TasteTable, softened
from slatewise.ports.models import Bag

TOKENS = np.array([[0, 0, 0], [3, 0, 0.5], [0, 4, 0.25]], np.float32)
RESIDUAL = np.array([[0, 0, 1.0], [0, 1, 0]], np.float32)


def bag(*tokens: int, weight: float = 1.0) -> Bag:
    return Bag(np.array([tokens], np.int64), np.full((1, len(tokens)), weight, np.float32))


def test_a_taste_is_a_direction_and_an_appeal_a_sum() -> None:
    table = TasteTable(TOKENS, RESIDUAL)
    np.testing.assert_allclose(table.item(0, bag(1, 2)), [0.6, 0.8, 1.75], rtol=1e-6)
    np.testing.assert_allclose(table.item(1, bag(1)), np.array([3, 1, 0]) / [10**0.5, 10**0.5, 1] + [0, 0, 0.5])


def test_an_item_of_later_is_what_its_attributes_say_and_one_without_any_is_nowhere() -> None:
    table = TasteTable(TOKENS, RESIDUAL)
    np.testing.assert_array_equal(table.item(7, bag(1)), [1, 0, 0.5])
    np.testing.assert_array_equal(table.item(7, bag(0)), [0, 0, 0])


def test_items_are_placed_alike_together_and_alone() -> None:
    rng = np.random.default_rng(0)
    table = TasteTable(
        np.vstack([np.zeros(9), rng.normal(size=(5, 9))]).astype(np.float32), rng.normal(size=(4, 9)).astype(np.float32)
    )
    bags = Bag(rng.integers(0, 6, (4, 3)), rng.random((4, 3), np.float32))
    together = table.items(bags)
    np.testing.assert_allclose(np.linalg.norm(together[:, :-1], axis=1), 1.0, rtol=1e-5)
    for row in range(4):
        alone = table.item(row, Bag(bags.token[row : row + 1], bags.weight[row : row + 1]))
        np.testing.assert_array_equal(alone, together[row])


def test_four_words_speak_twice_as_loud_as_one_value_not_as_loud() -> None:
    np.testing.assert_array_equal(softened(np.array([0.25, 1.0, -0.25, 0.0], np.float32)), [0.5, 1.0, -0.5, 0.0])

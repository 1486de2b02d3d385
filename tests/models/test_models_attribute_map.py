import numpy as np
import pytest

from slatewise.features.attributes import AttributeEncoder, fit_schema
from slatewise.models.attribute_map import TRUST, estimate, fit_attribute_map
from slatewise.models.spectral_towers import SpectralItemTower
from slatewise.ports.models import Bag


def world(items: int = 200, tokens: int = 12) -> tuple[Bag, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    token = rng.integers(1, tokens, (items, 3))
    bags = Bag(token, np.full((items, 3), 1 / 3, np.float32))
    truth = rng.standard_normal((tokens, 4)).astype(np.float32)
    truth[0] = 0
    return bags, truth, estimate(bags, truth) + 0.01 * rng.standard_normal((items, 4)).astype(np.float32)


def test_the_solution_is_that_of_the_weighted_normal_equations() -> None:
    bags, _, factors = world()
    degree = np.random.default_rng(1).integers(0, 50, 200).astype(float)
    table = np.zeros((200, 12))
    np.add.at(table, (np.arange(200)[:, None], bags.token), bags.weight)
    weight = (degree / (degree + TRUST))[:, None]
    expected = np.linalg.solve(table.T @ (weight * table) + 0.5 * np.eye(12), table.T @ (weight * factors))
    np.testing.assert_allclose(fit_attribute_map(bags, 12, factors, degree, 0.5), expected, atol=1e-3)


def test_an_item_nobody_touched_is_placed_by_what_it_is() -> None:
    bags, truth, factors = world()
    degree = np.full(200, 100.0)
    degree[:20] = 0
    factors[:20] = 99.0  # what an untouched item's factors say must not matter
    mapped = fit_attribute_map(bags, 12, factors, degree, 0.01)
    np.testing.assert_allclose(estimate(bags, mapped)[:20], estimate(bags, truth)[:20], atol=0.1)


@pytest.mark.parametrize("known", [0, 7])
def test_the_item_tower_looks_known_items_up_and_estimates_the_others(known: int) -> None:
    bags, _, factors = world()
    mapped = fit_attribute_map(bags, 12, np.hstack([factors, 2 * factors]), np.full(200, 100.0), 0.01)
    tower = SpectralItemTower(factors, 2 * factors, mapped)
    one = Bag(bags.token[6:7], bags.weight[6:7])
    embedding, vector = tower.encode(np.array([known]), one)
    expected = factors[6] if known else estimate(one, mapped)[0, :4]
    np.testing.assert_allclose(embedding[0], expected, rtol=1e-5)
    np.testing.assert_allclose(vector[0], 2 * embedding[0], atol=1e-3)


def test_without_attributes_an_unknown_item_stays_without_a_vector() -> None:
    tower = SpectralItemTower(np.ones((3, 2), np.float32), np.ones((3, 2), np.float32))
    embedding, vector = tower.encode(np.array([0]), Bag(np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32)))
    assert not embedding.any()
    assert not vector.any()


def test_an_item_with_nothing_but_a_precomputed_vector_is_placed_by_it() -> None:
    rng = np.random.default_rng(0)
    kind = np.arange(200) % 8
    seen_as, liked_by = rng.standard_normal((8, 64)), rng.standard_normal((8, 4))
    vectors = seen_as[kind] + 0.3 * rng.standard_normal((200, 64))
    items = [{"embedding": tuple(vector)} for vector in vectors.tolist()]
    encoder = AttributeEncoder(fit_schema(items[:160]))
    factors = (liked_by[kind] + 0.1 * rng.standard_normal((200, 4))).astype(np.float32)
    mapped = fit_attribute_map(encoder.encode(items[:160]), encoder.schema.tokens, factors[:160], np.full(160, 100.0))
    placed = estimate(encoder.encode(items[160:]), mapped)
    near = (placed @ (liked_by / np.linalg.norm(liked_by, axis=1)[:, None]).T).argmax(1)
    assert (near == kind[160:]).mean() > 0.9

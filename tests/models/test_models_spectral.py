import numpy as np
import pytest

from slatewise.models.spectral import fit_spectral
from slatewise.models.spectral_towers import SpectralItemTower, SpectralUserTower
from slatewise.ports.models import Bag, Sequence


def checkerboard(users: int = 60, items: int = 40, share: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Even users like even items, odd users odd ones; each has met a share of its own half."""
    rng = np.random.default_rng(seed)
    user, item = np.nonzero((np.arange(users)[:, None] + np.arange(items)[None]) % 2 == 0)
    kept = rng.random(user.size) < share
    return user[kept], item[kept]


def test_factors_complete_a_checkerboard_for_users_they_never_saw() -> None:
    user, item = checkerboard()
    factors = fit_spectral(user, item, 40, 8, np.random.default_rng(0))
    for parity in (0, 1):
        history = np.arange(parity, 40, 2)[:5]
        top = np.argsort(-factors.score(history))[:20]
        assert (top % 2 == parity).mean() == 1.0


def test_singular_values_equal_those_of_an_exact_decomposition() -> None:
    user, item = checkerboard(share=0.7, seed=3)
    factors = fit_spectral(user, item, 40, 6, np.random.default_rng(0))
    dense = np.zeros((60, 40))
    dense[user, item] = 1
    normalised = dense / np.sqrt(np.maximum(dense.sum(1, keepdims=True), 1) * np.maximum(dense.sum(0), 1))
    exact = np.linalg.svd(normalised, compute_uv=False)[:6]
    np.testing.assert_allclose(factors.singular_values, exact, atol=1e-3)


@pytest.mark.parametrize(("users", "items", "dim"), [(3, 50, 16), (50, 3, 16), (2, 2, 4), (1, 1, 2)])
def test_more_dimensions_than_the_data_has_are_zero_and_do_no_harm(users: int, items: int, dim: int) -> None:
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, users, 40), rng.integers(0, items, 40)
    factors = fit_spectral(user, item, items, dim, rng)
    assert factors.input.shape == factors.output.shape == (items, dim)
    assert np.isfinite(factors.score(np.array([0]))).all()


def test_repeating_an_interaction_changes_nothing() -> None:
    user, item = checkerboard()
    once = fit_spectral(user, item, 40, 4, np.random.default_rng(0))
    some = np.random.default_rng(1).random(user.size) < 0.3
    repeated = np.concatenate([user, user[some]]), np.concatenate([item, item[some]])
    often = fit_spectral(*repeated, 40, 4, np.random.default_rng(0))
    np.testing.assert_allclose(once.score(np.array([2, 4])), often.score(np.array([2, 4])), atol=1e-4)


def test_items_without_interactions_and_rows_beyond_the_factors_score_nothing() -> None:
    user, item = checkerboard()
    factors = fit_spectral(user, item, 45, 4, np.random.default_rng(0))
    scores = factors.score(np.array([2, 99]))
    assert np.array_equal(scores[40:], np.zeros(5))
    assert np.array_equal(factors.score(np.array([99])), np.zeros(45))


def test_towers_give_the_order_of_the_factors() -> None:
    user, item = checkerboard()
    factors = fit_spectral(user, item, 40, 8, np.random.default_rng(0))
    tower = SpectralItemTower(factors.input, factors.output)
    nothing = Bag(np.zeros((40, 1), np.int64), np.zeros((40, 1), np.float32))
    embeddings, vectors = tower.encode(np.arange(1, 41), nothing)
    history = np.array([2, 4, 6])
    blank, ones = np.zeros((1, 3), np.int64), np.ones((1, 3), np.float32)
    steps = Sequence(embeddings[history][None], blank, blank, -ones, ones)
    vector = SpectralUserTower(8).encode(steps, nothing)
    assert np.array_equal(np.argsort(-(vectors @ vector[0]))[:10], np.argsort(-factors.score(history))[:10])
    assert not tower.encode(np.array([0]), Bag(nothing.token[:1], nothing.weight[:1]))[1].any()


def test_factors_of_nearly_the_same_data_are_turned_into_the_same_axes_and_score_alike() -> None:
    user, item = checkerboard(users=200, items=40, share=0.6)
    older = fit_spectral(user[:-200], item[:-200], 40, 8, np.random.default_rng(0))
    newer = fit_spectral(user, item, 40, 8, np.random.default_rng(1))
    turned = newer.turned_to(older)

    def agreement(one: np.ndarray, other: np.ndarray) -> float:
        return float(((one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)).mean())

    assert agreement(turned.output, older.output) > 0.8 > 0.5 > agreement(newer.output, older.output)
    np.testing.assert_allclose(turned.score(np.arange(5)), newer.score(np.arange(5)), atol=1e-5)

import numpy as np
import pytest

from slatewise.features import projection as projecting
from slatewise.features.projection import FAR, Projection, Projector, fit_projection


def table(n: int = 300, length: int = 40, seed: int = 0) -> np.ndarray:
    """Vectors with a few wide directions, not centred."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.standard_normal((length, length)))[0]
    return rng.standard_normal((n, length)) * 0.8 ** np.arange(length) @ turn + rng.standard_normal(length)


def fitted(vectors: np.ndarray, size: int = 6) -> Projection:
    found = fit_projection(vectors.tolist(), size)
    assert found is not None
    return found


def projected(vectors: np.ndarray, projection: Projection) -> np.ndarray:
    return np.array([Projector(projection).project(vector) for vector in vectors.tolist()])


def test_components_are_the_principal_ones_with_a_mean_squared_length_of_one() -> None:
    vectors = table()
    u, s, _ = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    exact = (u * s)[:, :6]
    exact /= np.sqrt((exact**2).sum(1).mean())
    found = projected(vectors, fitted(vectors))
    np.testing.assert_allclose(found * np.sign((found * exact).sum(0)), exact, atol=1e-3)
    np.testing.assert_allclose((found**2).sum(1).mean(), 1.0, rtol=1e-5)
    np.testing.assert_allclose(found.mean(0), 0.0, atol=1e-5)


def test_directions_in_which_nothing_differs_get_no_component() -> None:
    flat = np.random.default_rng(0).standard_normal((50, 3)) @ np.random.default_rng(1).standard_normal((3, 20))
    assert fitted(flat, 32).size == 3
    assert fitted(table(4), 32).size == 3


def test_a_fit_is_repeatable_and_its_bytes_say_all() -> None:
    one = fitted(table())
    assert one == fitted(table())
    assert (len(one.mean), len(one.components)) == (4 * 40, 4 * 6 * 40)


def test_of_several_lengths_the_most_frequent_counts_and_others_have_no_components() -> None:
    long, short = table(20).tolist(), table(21, 7).tolist()
    found = fit_projection(long + short, 4)
    assert found is not None
    assert found.length == 7
    assert len(Projector(found).project(short[0])) == 4
    assert Projector(found).project(long[0]) == []


ROUNDED = [(1.0, 5.0), (1.0 + 2e-7, 5.0)]


@pytest.mark.parametrize(
    "vectors",
    [[], [(1.0, 2.0)], [(0.1, 0.7)] * 9, ROUNDED, [(np.nan, 1.0), (np.inf, 2.0)], [("a", 1.0)]],
)
def test_vectors_that_say_nothing_have_no_projection(vectors: list[tuple[float, ...]]) -> None:
    assert fit_projection(vectors, 4) is None


@pytest.mark.parametrize("odd", [np.nan, np.inf, "a", None, 10**400])
def test_a_vector_with_an_entry_that_is_no_finite_number_is_ignored(odd: object) -> None:
    vectors = table()
    assert Projector(fitted(vectors)).project([*vectors[0, :-1].tolist(), odd]) == []


def test_an_outlier_is_pulled_in_and_keeps_its_direction() -> None:
    vectors = table()
    projector = Projector(fitted(vectors))
    away = vectors[0] - vectors.mean(0)
    near, far, farthest = (np.array(projector.project(vectors.mean(0) + away * by)) for by in (1, 1e3, 1e15))
    np.testing.assert_allclose(np.linalg.norm([far, farthest], axis=1), FAR)
    np.testing.assert_allclose(far / FAR, near / np.linalg.norm(near), atol=1e-4)
    assert np.isfinite(projector.project([1e308] * 20 + [-1e308] * 20)).all()


@pytest.mark.parametrize("scale", [1e-12, 1e6, 9e17])
def test_the_unit_that_vectors_come_in_does_not_matter(scale: float) -> None:
    vectors = np.sign(table(1200) - table(1200).mean(0)) * 0.8 ** np.arange(40)
    np.testing.assert_allclose(
        projected(vectors * scale, fitted(vectors * scale)), projected(vectors, fitted(vectors)), atol=1e-3
    )


def test_of_very_many_vectors_evenly_spaced_ones_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = table(1200)
    monkeypatch.setattr(projecting, "MAX_FITTED", 400)
    found = projected(vectors, fitted(vectors))
    assert 0.9 < (found**2).sum(1).mean() < 1.1
    assert fitted(vectors) == fitted(vectors[np.linspace(0, 1199, 400).astype(int)])

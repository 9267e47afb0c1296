import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.linalg import lstsq
from sklearn.linear_model import Ridge as Theirs

from tether.errors import InputError
from tether.strength.ridge import Ridge, grid

SHAPES = {"many items": (60, 20), "as many": (20, 20), "one more": (21, 20), "two more": (22, 20), "few": (12, 40)}
STRENGTHS = np.geomspace(1e-8, 1e6, 15)


def drawn(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scales = np.geomspace(0.01, 100, d)
    return (rng.normal(size=(n, d)) + rng.normal(size=d)) * scales, rng.normal((5.0, 0.0, -5.0), size=(n, 3))


def direct(
    x: np.ndarray, y: np.ndarray, strength: float, w0: np.ndarray, *, scaled: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Least squares on the rows of the data and of the penalty, by QR, with a column for the bias."""
    n, d = x.shape
    spread = x.std(0) if scaled else np.ones(d)
    spread[spread < 1e-12] = 1
    above = np.hstack([x / spread, np.ones((n, 1))]) / np.sqrt(n)
    below = np.hstack([np.sqrt(strength) * np.eye(d), np.zeros((d, 1))])
    right = np.vstack([y / np.sqrt(n), np.sqrt(strength) * (w0 * spread).T])
    found = lstsq(np.vstack([above, below]), right)[0]
    return found[:-1].T / spread, found[-1]


@pytest.mark.parametrize("scaled", [False, True], ids=["as they are", "standardised"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_weights_and_predictions_are_a_direct_solves(shape: tuple[int, int], scaled: bool) -> None:
    x, y = drawn(*shape)
    others, _ = drawn(30, shape[1], seed=1)
    w0 = np.random.default_rng(2).normal(size=(3, shape[1]))
    for reference in (None, w0):
        path = Ridge.of(x, y, standardise=scaled, reference=reference)
        for strength, said in zip(STRENGTHS, path.predictions(others, STRENGTHS), strict=True):
            weight, bias = direct(x, y, strength, np.zeros_like(w0) if reference is None else w0, scaled=scaled)
            found, free = path.weights(strength)
            # the least strength is 1e-12 of the largest variance where features are as they are
            np.testing.assert_allclose(found, weight, rtol=1e-6, atol=1e-6 * np.abs(weight).max())
            np.testing.assert_allclose(free, bias, rtol=1e-6, atol=1e-6 * np.abs(bias).max())
            np.testing.assert_allclose(said, others @ found.T + free, rtol=0, atol=1e-9 * np.abs(said).max())


def test_the_strength_is_the_houses() -> None:
    x, y = drawn(60, 20)
    theirs = Theirs(alpha=0.3 * len(x)).fit(x, y)  # ‖y − Xw‖² + α‖w‖², which is 2n times ours
    weight, bias = Ridge.of(x, y).weights(0.3)
    np.testing.assert_allclose(weight, theirs.coef_, rtol=1e-9)
    np.testing.assert_allclose(bias, theirs.intercept_, rtol=1e-9)


@pytest.mark.parametrize("scaled", [False, True], ids=["as they are", "standardised"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_leaving_one_out_is_fitting_to_all_others(shape: tuple[int, int], scaled: bool) -> None:
    x, y = drawn(*shape)
    w0 = np.random.default_rng(2).normal(size=(3, shape[1]))
    spread = x.std(0) if scaled else np.ones(shape[1])
    strengths = np.geomspace(1e-4, 1e4, 9)
    n = len(x)
    for reference in (None, w0):
        path = Ridge.of(x, y, standardise=scaled, reference=reference)
        scaled_reference = None if reference is None else w0 * spread
        for strength, found in zip(strengths, path.left_out(strengths), strict=True):
            expected = np.empty_like(y)
            for left in range(n):
                others = np.delete(np.arange(n), left)
                rest = Ridge.of(x[others] / spread, y[others], reference=scaled_reference)
                weight, bias = rest.weights(strength * n / (n - 1))
                expected[left] = weight @ (x[left] / spread) + bias
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(y).max())


def test_next_to_no_strength_leaves_out_as_well() -> None:
    """With more features than items the fit is exact, and both the error and 1 − h vanish with λ."""
    x, y = drawn(12, 40)
    x /= np.geomspace(0.01, 100, 40)
    (found,) = Ridge.of(x, y).left_out([1e-13])
    for left in range(12):
        others = np.delete(np.arange(12), left)
        centre, mean = x[others].mean(0), y[others].mean(0)
        weight = lstsq(x[others] - centre, y[others] - mean, cond=1e-10)[0]
        np.testing.assert_allclose(found[left], (x[left] - centre) @ weight + mean, rtol=1e-8)


@pytest.mark.parametrize("shape", [(30, 6), (6, 30)], ids=["many items", "few"])
def test_rows_twice_constant_features_and_copies_of_features(shape: tuple[int, int]) -> None:
    x, y = drawn(*shape)
    x = np.hstack([x, np.full((len(x), 1), 0.1), x[:, :2]])
    x, y = np.vstack([x, x]), np.vstack([y, y])
    for scaled in (False, True):
        path = Ridge.of(x, y, standardise=scaled)
        for strength in (1e-6, 1.0, 1e6):
            weight, bias = path.weights(strength)
            expected, free = direct(x, y, strength, np.zeros_like(weight), scaled=scaled)
            np.testing.assert_allclose(weight, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
            np.testing.assert_allclose(bias, free, rtol=1e-6)
            assert np.abs(weight[:, -3]).max() < 1e-9
        (found,) = path.left_out([1e-9])
        if shape == (6, 30):  # its twin stays, and says it
            np.testing.assert_allclose(found, y, rtol=1e-4)


def test_the_ends_of_the_path() -> None:
    x, y = drawn(60, 20)
    w0 = np.ones((3, 20))
    path = Ridge.of(x, y, reference=w0)
    weight, bias = path.weights(1e300)
    np.testing.assert_array_equal(weight, w0)
    np.testing.assert_allclose(bias, (y - x @ w0.T).mean(0), rtol=1e-9)
    weight, _ = path.weights(1e-300)
    np.testing.assert_allclose(weight, lstsq(x - x.mean(0), y - y.mean(0))[0].T, rtol=1e-4)
    assert all(np.isfinite(found).all() for found in path.left_out([1e-300, 1e300]))


def test_features_that_are_all_constant_say_the_mean() -> None:
    x, y = np.full((5, 3), 7.0), drawn(5, 3)[1]
    path = Ridge.of(x, y, standardise=True)
    np.testing.assert_allclose(path.weights(grid(path)[0])[1], y.mean(0))
    (found,) = path.left_out([1.0])
    np.testing.assert_allclose(found[0], y[1:].mean(0))


def test_float32_features_are_worked_in_float64() -> None:
    x, y = drawn(60, 20)
    found = Ridge.of(x.astype(np.float32), y).weights(1.0)[0]
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, Ridge.of(x.astype(np.float32).astype(np.float64), y).weights(1.0)[0])


def test_the_grid_is_in_units_of_the_features_variance() -> None:
    x, y = drawn(60, 20)
    one, large = grid(Ridge.of(x, y)), grid(Ridge.of(10 * x, y))
    np.testing.assert_allclose(large, 100 * one)
    assert len(one) == 49
    scaled = grid(Ridge.of(x, y, standardise=True))
    np.testing.assert_allclose(scaled[[0, -1]], [1e-6, 1e3])


@pytest.mark.parametrize("name", ["features", "outputs", "reference"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_by_name(name: str, value: float) -> None:
    arrays: dict[str, Any] = dict(zip(("features", "outputs"), drawn(8, 3), strict=True), reference=np.ones((3, 3)))
    arrays[name][1, 1] = value
    with pytest.raises(InputError, match=f"1 of .* values of the {name} are not finite"):
        Ridge.of(**arrays)


def test_other_shapes_and_strengths_are_refused() -> None:
    x, y = drawn(8, 3)
    for wrong in ((x[:7], y), (x[0], y), (x, y[:, 0])):
        with pytest.raises(InputError, match="do not fit"):
            Ridge.of(*wrong)
    with pytest.raises(InputError, match="two items"):
        Ridge.of(x[:1], y[:1])
    path = Ridge.of(x, y)
    for strength in (0.0, -1.0, np.nan, np.inf):
        for ask in (
            lambda: path.weights(strength),  # noqa: B023
            lambda: list(path.left_out([strength])),  # noqa: B023
            lambda: list(path.predictions(x, [1.0, strength])),  # noqa: B023
        ):
            with pytest.raises(InputError, match="λ is a finite number"):
                ask()


def test_a_path_costs_less_than_its_points() -> None:
    """49 solves cost 49 factorisations, the path one; a third is left for a slow machine (measured: a seventh)."""
    x, y = np.random.default_rng(0).normal(size=(1200, 300)), np.random.default_rng(1).normal(size=(1200, 10))
    strengths = np.geomspace(1e-6, 1e3, 49)

    def of_path() -> None:
        path = Ridge.of(x, y)
        for strength in strengths:
            path.weights(strength)

    def of_points() -> None:
        for strength in strengths:
            np.linalg.solve(x.T @ x / 1200 + strength * np.eye(300), x.T @ y / 1200)

    def least(act: Callable[[], None]) -> float:
        taken = []
        for _ in range(3):
            start = time.process_time()
            act()
            taken.append(time.process_time() - start)
        return min(taken)

    path, points = least(of_path), least(of_points)
    assert path < points / 3

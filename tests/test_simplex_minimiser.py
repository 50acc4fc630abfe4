import numpy as np
import pytest

from training.simplex_minimiser import ConvexFunction, MinimiserError, minimise_on_simplex

ZERO, ONE = np.zeros(3), np.ones(3)


def quadratic(centre):
    return ConvexFunction(
        value=lambda p: float(((p - centre) ** 2).sum()),
        gradient=lambda p: 2 * (p - centre),
        hessian=lambda p: 2 * np.eye(len(p)),
    )


def linear(cost):
    return ConvexFunction(
        value=lambda p: float(cost @ p),
        gradient=lambda p: cost,
        hessian=lambda p: np.zeros((len(p), len(p))),
    )


def test_projection_worked_by_hand():
    found = minimise_on_simplex(quadratic(np.array([0.8, 0.6, -0.9])), ZERO, ONE)
    np.testing.assert_allclose(found.point, [0.6, 0.4, 0.0], atol=1e-6)
    assert found.gap < 1e-7


def test_bounds_hold_at_the_corner_of_a_linear_function():
    low, high = np.array([0.0, 0.1, 0.0]), np.array([0.4, 1.0, 0.3])
    found = minimise_on_simplex(linear(np.array([1.0, 3.0, 2.0])), low, high)
    np.testing.assert_allclose(found.point, [0.4, 0.3, 0.3], atol=1e-6)


def test_fixed_coordinates_and_single_points():
    high = np.array([0.0, 1.0, 1.0])
    found = minimise_on_simplex(quadratic(np.array([0.9, 0.3, 0.3])), ZERO, high)
    np.testing.assert_allclose(found.point, [0.0, 0.5, 0.5], atol=1e-6)
    only = np.array([0.2, 0.3, 0.5])
    assert minimise_on_simplex(linear(ONE), ZERO, only).point == pytest.approx(only)
    assert minimise_on_simplex(linear(ONE), only, ONE).point == pytest.approx(only)


def test_impossible_bounds_are_refused():
    for low, high in ((ZERO, ONE / 4), (ONE / 2, ONE), (ONE / 2, ONE / 4), (-ONE, ONE)):
        with pytest.raises(ValueError, match="no mixture lies between"):
            minimise_on_simplex(linear(ONE), low, high)


def test_a_wrong_derivative_is_caught_by_the_certificate():
    honest = quadratic(np.array([0.8, 0.6, -0.9]))
    lying = ConvexFunction(
        value=honest.value,
        gradient=lambda p: honest.gradient(p) * np.array([1.0, -1.0, 1.0]),
        hessian=honest.hessian,
    )
    with pytest.raises(MinimiserError, match="gap"):
        minimise_on_simplex(lying, ZERO, ONE)

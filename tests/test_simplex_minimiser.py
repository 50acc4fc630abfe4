import numpy as np
import pytest

from training.simplex_minimiser import (
    ConvexFunction,
    InfeasibleError,
    MinimiserError,
    minimise_on_simplex,
)

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


def at_most(function, limit):
    return ConvexFunction(
        value=lambda p: function.value(p) - limit,
        gradient=function.gradient,
        hessian=function.hessian,
    )


def test_a_constraint_binds_where_worked_by_hand():
    # Least x_0 within the circle around the centre through distance .2: straight away from it.
    circle = at_most(quadratic(ONE / 3), 0.2**2)
    found = minimise_on_simplex(linear(np.array([1.0, 0, 0])), ZERO, ONE, constraints=[circle])
    away = 0.2 * np.array([-2, 1, 1]) / np.sqrt(6)
    np.testing.assert_allclose(found.point, ONE / 3 + away, atol=1e-5)
    assert found.gap < 1e-7


def test_a_slack_constraint_changes_nothing():
    function = quadratic(np.array([0.5, 0.3, 0.2]))
    free = minimise_on_simplex(function, ZERO, ONE)
    bound = minimise_on_simplex(function, ZERO, ONE, constraints=[at_most(quadratic(ONE / 3), 0.9)])
    np.testing.assert_allclose(bound.point, free.point, atol=1e-5)


def test_a_start_outside_the_constraints_finds_its_way_in():
    corner = at_most(quadratic(np.array([0.9, 0.05, 0.05])), 0.01)
    found = minimise_on_simplex(quadratic(np.array([0, 0.5, 0.5])), ZERO, ONE, constraints=[corner])
    assert corner.value(found.point) == pytest.approx(0, abs=1e-6)


def test_constraints_that_exclude_each_other_are_named_with_what_they_miss():
    pair = [at_most(quadratic(np.eye(3)[row]), 0.1) for row in (0, 1)]
    with pytest.raises(InfeasibleError) as caught:
        minimise_on_simplex(linear(ONE), ZERO, ONE, constraints=pair)
    # The corners are sqrt(2) apart: half way, the squared distance to each is 1/2.
    np.testing.assert_allclose(caught.value.violations, [0.4, 0.4], atol=1e-3)
    np.testing.assert_allclose(caught.value.point, [0.5, 0.5, 0.0], atol=1e-2)


def test_constraints_are_checked_at_a_single_point():
    only = np.array([0.2, 0.3, 0.5])
    with pytest.raises(InfeasibleError):
        minimise_on_simplex(
            linear(ONE), ZERO, only, constraints=[at_most(quadratic(np.eye(3)[0]), 0.1)]
        )

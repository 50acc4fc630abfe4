import numpy as np
import pytest

from training.robust_fit import (
    RobustProblem,
    huber_loss,
    minimise_robustly,
    solve_damped,
    weighted_least_squares,
)

RNG = np.random.default_rng(0)
DESIGN = RNG.normal(size=(30, 3))
TRUTH = np.array([1.0, -2.0, 0.5])
LOSSES = DESIGN @ TRUTH


def linear_problem(losses=LOSSES, counts=None, **changes):
    counts = np.ones((1, 30)) if counts is None else counts
    fields = {
        "predict": lambda params, rows: params @ DESIGN.T,
        "linearise": lambda params, rows: (
            params @ DESIGN.T,
            np.broadcast_to(DESIGN, (len(params), *DESIGN.shape)),
        ),
        "losses": losses,
        "counts": counts,
        "low": np.full((len(counts), 3), -10.0),
        "high": np.full((len(counts), 3), 10.0),
        "huber": 0.1,
    }
    return RobustProblem(**{**fields, **changes})


def test_huber_loss_is_half_the_square_then_a_line():
    np.testing.assert_allclose(huber_loss(np.array([0.5, -1.0, 3.0]), 1.0), [0.125, 0.5, 2.5])


def test_a_linear_problem_is_solved_and_outliers_hardly_count():
    spoiled = LOSSES.copy()
    spoiled[5] += 10
    params, values = minimise_robustly(linear_problem(spoiled), [np.zeros((1, 3))])
    np.testing.assert_allclose(params[0], TRUTH, atol=0.05)
    assert values[0] == pytest.approx(linear_problem(spoiled).objective(params, np.array([0]))[0])


def test_a_parameter_stops_at_its_bound_and_the_others_are_optimal_for_that():
    high = np.array([[10.0, 10.0, 0.2]])
    params, _ = minimise_robustly(linear_problem(high=high, huber=1e6), [np.zeros((1, 3))])
    assert params[0, 2] == 0.2
    rest = np.linalg.lstsq(DESIGN[:, :2], LOSSES - 0.2 * DESIGN[:, 2], rcond=None)[0]
    np.testing.assert_allclose(params[0, :2], rest, atol=1e-6)


def test_counts_thresholds_and_observations_may_differ_between_refits():
    counts = np.ones((2, 30))
    counts[0, :10] = 0
    losses = np.stack([LOSSES, 2 * LOSSES])
    losses[0, :10] += 5
    params, _ = minimise_robustly(
        linear_problem(losses, counts, huber=np.array([0.1, 1.0])), [np.zeros((2, 3))]
    )
    np.testing.assert_allclose(params, [TRUTH, 2 * TRUTH], atol=1e-7)


def test_a_ridge_pulls_to_its_prior():
    strong = np.full((1, 3), 1e9)
    params, _ = minimise_robustly(
        linear_problem(ridge=strong, prior=np.array([[3.0, 2.0, 1.0]])), [np.zeros((1, 3))]
    )
    np.testing.assert_allclose(params, [[3.0, 2.0, 1.0]], atol=1e-5)
    ridge = np.array([[2.0, 2.0, 2.0]])
    params, _ = minimise_robustly(linear_problem(ridge=ridge, huber=1e6), [np.zeros((1, 3))])
    expected = np.linalg.solve(DESIGN.T @ DESIGN + 2 * np.eye(3), DESIGN.T @ LOSSES)
    np.testing.assert_allclose(params[0], expected, atol=1e-8)


def two_basins(num_refits):
    """One parameter, one observation: (q^2 - 1)^2 tilted, lower at q = -1."""

    def linearise(params, rows):
        return (
            np.concatenate([params**2 - 1, 0.3 * (params + 1)], axis=1),
            np.stack([2 * params, np.full_like(params, 0.3)], axis=1),
        )

    return RobustProblem(
        predict=lambda params, rows: linearise(params, rows)[0],
        linearise=linearise,
        losses=np.zeros(2),
        counts=np.ones((num_refits, 2)),
        low=np.full((num_refits, 1), -5.0),
        high=np.full((num_refits, 1), 5.0),
        huber=10.0,
    )


@pytest.mark.parametrize("num_refits", [1, 3, 40])
def test_the_best_end_of_all_starts_is_kept_for_each_refit(num_refits):
    starts = [np.full((num_refits, 1), value) for value in (2.0, -2.0, 1.5)]
    params, values = minimise_robustly(two_basins(num_refits), starts)
    np.testing.assert_allclose(params, -1.0, atol=1e-6)
    np.testing.assert_allclose(values, 0.0, atol=1e-10)
    only, _ = minimise_robustly(two_basins(num_refits), starts[:1])
    assert (only > 0.5).all()


def test_refits_with_their_own_losses_are_not_taken_for_resamples():
    """The sign of q^3 + q decides each basin; the pilots would send all refits to theirs."""
    scale = np.linspace(0.5, 1.5, 12)
    signs = np.array([1.0, 1.0, -1.0, -1.0, 1.0])

    def linearise(params, rows):
        # Flat between the basins: a start stays on its side.
        return (params**2 * np.sign(params)) * scale, (2 * np.abs(params))[:, :, None] * scale[
            None, :, None
        ]

    problem = RobustProblem(
        predict=lambda params, rows: linearise(params, rows)[0],
        linearise=linearise,
        losses=signs[:, None] * scale,
        counts=np.ones((5, 12)),
        low=np.full((5, 1), -5.0),
        high=np.full((5, 1), 5.0),
        huber=10.0,
    )
    starts = [np.full((5, 1), value) for value in (2.0, -2.0, 3.0)]
    params, values = minimise_robustly(problem, starts)
    np.testing.assert_allclose(params[:, 0], signs, atol=1e-6)
    np.testing.assert_allclose(values, 0.0, atol=1e-10)


def test_pilots_end_where_all_starts_would():
    counts = np.random.default_rng(2).poisson(1.0, size=(6, 40)).astype(float)
    design = np.linspace(-1, 1, 40)

    def linearise(params, rows):
        bend = np.exp(params[:, :1] * design)
        return bend + params[:, 1:], np.stack([bend * design, np.ones_like(bend)], axis=2)

    losses = np.exp(0.8 * design) + 0.3 + np.random.default_rng(3).normal(0, 0.05, 40)
    fields = {"predict": lambda params, rows: linearise(params, rows)[0], "linearise": linearise}
    bounds = {"low": np.full((6, 2), -5.0), "high": np.full((6, 2), 5.0)}
    together = RobustProblem(losses=losses, counts=counts, **bounds, **fields)
    apart = RobustProblem(losses=np.tile(losses, (6, 1)), counts=counts, **bounds, **fields)
    starts = [np.full((6, 2), value) for value in (-2.0, 0.0, 2.0)]
    found = [minimise_robustly(problem, starts)[1] for problem in (together, apart)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_no_start_is_refused():
    with pytest.raises(ValueError, match="at least one start"):
        minimise_robustly(linear_problem(), [])


def test_weighted_least_squares_takes_a_design_for_all_or_for_each():
    importance = RNG.uniform(0.5, 2, size=(2, 30))
    targets = RNG.normal(size=(2, 30))
    shared = weighted_least_squares(DESIGN, targets, importance)
    each = weighted_least_squares(np.stack([DESIGN, DESIGN]), targets, importance)
    np.testing.assert_allclose(shared, each)
    root = np.sqrt(importance[0])
    expected = np.linalg.lstsq(DESIGN * root[:, None], targets[0] * root, rcond=None)[0]
    np.testing.assert_allclose(shared[0], expected, atol=1e-8)


def test_a_singular_matrix_is_solved_by_its_damping():
    matrix = np.array([[[1.0, 1.0], [1.0, 1.0]]])
    solution = solve_damped(matrix, np.array([[2.0, 2.0]]), damping=np.array([1e-6]))
    np.testing.assert_allclose(solution, [[1.0, 1.0]], atol=1e-5)

import numpy as np
import pytest

from training.mixers.aioli_estimate import estimate_mixing_matrix, normalised_scores, tilt

MATRIX = np.array([[0.30, 0.05, 0.08], [0.02, 0.25, 0.03], [0.06, 0.04, 0.40]])
SECOND = np.array([[0.20, 0.05, -0.10], [0.02, 0.15, 0.03], [0.06, 0.04, 0.10]])
SHARES = np.full((3, 3), 0.25) + 0.25 * np.eye(3)
UNIFORM = np.full(3, 1 / 3)


def test_solving_the_drops_returns_the_matrix():
    drops = np.array([[0.1825, 0.12, 0.1275], [0.08, 0.1375, 0.0825], [0.14, 0.135, 0.225]])
    # drops[eval i, probe j] as in A W; the estimate takes [probe, eval]
    estimate = estimate_mixing_matrix(drops.T[np.newaxis], SHARES[np.newaxis])
    np.testing.assert_allclose(estimate.matrix, MATRIX, atol=1e-12)
    assert estimate.standard_errors is None
    assert estimate.contrast_error is None
    np.testing.assert_allclose(estimate.contrasts, np.array([0.38, 0.34, 0.51]) - 0.41, atol=1e-12)


def test_scores_and_tilts_of_the_first_round():
    scores = normalised_scores(MATRIX)
    np.testing.assert_allclose(scores, [0.308943, 0.276423, 0.414634], atol=1e-6)
    np.testing.assert_allclose(
        tilt(UNIFORM, scores, 1.0), [0.324730, 0.314340, 0.360930], atol=1e-6
    )
    np.testing.assert_allclose(
        tilt(UNIFORM, scores, 0.1), [0.332516, 0.331436, 0.336049], atol=1e-6
    )


def test_second_round_cumulative_and_memoryless():
    scores = normalised_scores(SECOND)
    np.testing.assert_allclose(scores, [0.400000, 0.372414, 0.227586], atol=1e-6)
    first = tilt(UNIFORM, normalised_scores(MATRIX), 0.1)
    np.testing.assert_allclose(tilt(first, scores, 0.1), [0.334744, 0.332738, 0.332518], atol=1e-6)
    averaged = 0.5 * normalised_scores(MATRIX) + 0.5 * scores
    np.testing.assert_allclose(
        tilt(UNIFORM, averaged, 0.1), [0.334038, 0.333036, 0.332926], atol=1e-6
    )


def test_errors_worked_by_hand():
    # One-hot probes: A^(r) is the drops transposed. Two sweeps, two domains.
    drops = np.array([[[1.0, 0.0], [0.0, 2.0]], [[3.0, 0.0], [0.0, 2.0]]])
    estimate = estimate_mixing_matrix(drops, np.stack([np.eye(2)] * 2))
    np.testing.assert_allclose(estimate.matrix, [[2, 0], [0, 2]])
    # sd of (1, 3) is sqrt 2; over sqrt 2 sweeps: 1
    np.testing.assert_allclose(estimate.standard_errors, [[1, 0], [0, 0]], atol=1e-12)
    # column sums (1, 2) and (3, 2): contrasts (-.5, .5) and (.5, -.5), of variance .5 over 2 sweeps
    np.testing.assert_allclose(estimate.contrasts, [0, 0], atol=1e-12)
    assert estimate.contrast_error == pytest.approx(0.5)


def test_the_error_of_a_contrast_is_pooled_over_the_domains():
    # Column sums (3, 0, 0) and (6, 0, 3): contrasts (2, -1, -1) and (3, -3, 0).
    drops = np.array([np.diag([3.0, 0.0, 0.0]), np.diag([6.0, 0.0, 3.0])])
    estimate = estimate_mixing_matrix(drops, np.stack([np.eye(3)] * 2))
    np.testing.assert_allclose(estimate.contrasts, [2.5, -2, -0.5], atol=1e-12)
    # variances (1/2, 2, 1/2), their mean 1, over two sweeps
    assert estimate.contrast_error == pytest.approx(np.sqrt(1 / 2))


def test_realised_shares_are_used_not_the_requested_ones():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(3), size=(4, 3)) * 0.5 + 0.5 * np.eye(3)
    drops = shares @ MATRIX.T
    estimate = estimate_mixing_matrix(drops, shares)
    np.testing.assert_allclose(estimate.matrix, MATRIX, atol=1e-12)
    requested = estimate_mixing_matrix(drops, np.stack([SHARES] * 4))
    assert np.abs(requested.matrix - MATRIX).max() > 0.01


def test_the_matrix_is_not_transposed():
    # Only training on domain 1 helps, and it helps evaluation domain 0.
    matrix = np.array([[0.0, 1.0], [0.0, 0.0]])
    shares = np.array([[[0.75, 0.25], [0.25, 0.75]]])
    estimate = estimate_mixing_matrix(shares @ matrix.T, shares)
    np.testing.assert_allclose(estimate.matrix, matrix, atol=1e-12)
    assert estimate.contrasts[1] > estimate.contrasts[0]


def test_shares_that_do_not_determine_the_matrix_give_none():
    shares = np.array([[[0.5, 0.5], [0.5, 0.5]]])
    assert estimate_mixing_matrix(np.ones((1, 2, 2)), shares) is None
    # Condition numbers 111 and 50: one over twice the distance from equal shares.
    for distance, determined in ((0.0045, False), (0.01, True)):
        shares = np.array([[[0.5 + distance, 0.5 - distance], [0.5 - distance, 0.5 + distance]]])
        assert (estimate_mixing_matrix(np.ones((1, 2, 2)), shares) is not None) == determined


def test_significance_is_a_number_of_errors():
    drops = np.array([[[1.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [0.0, 6.0]]])
    estimate = estimate_mixing_matrix(drops, np.stack([np.eye(2)] * 2))
    # contrasts (-.5, .5) and (-2, 2): mean -1.25, standard error 0.75; 1.67 errors
    assert estimate.significant(1.6).tolist() == [True, True]
    assert estimate.significant(1.7).tolist() == [False, False]
    assert estimate.significant(0).tolist() == [True, True]


def test_nothing_changed_means_no_preference():
    np.testing.assert_allclose(normalised_scores(np.zeros((2, 2))), [0.5, 0.5])
    np.testing.assert_allclose(normalised_scores(np.full((2, 2), -3.0)), [0.5, 0.5])


def test_scores_lie_in_the_unit_interval_so_a_tilt_is_bounded():
    rng = np.random.default_rng(1)
    for _ in range(200):
        matrix = rng.normal(size=(4, 4)) * 10 ** rng.uniform(-6, 6)
        scores = normalised_scores(matrix)
        assert scores.min() >= 0
        assert scores.sum() == pytest.approx(1)
        weights = tilt(np.full(4, 0.25), scores, 0.7)
        assert weights.max() / weights.min() <= np.exp(0.7) + 1e-12
    # Reached by a matrix with one column only: two domains, eta 0.2 give [.45, .55].
    extreme = tilt(np.full(2, 0.5), normalised_scores(np.array([[0.0, 1.0], [0.0, 1.0]])), 0.2)
    np.testing.assert_allclose(extreme, [0.450166, 0.549834], atol=1e-6)


def test_a_large_step_does_not_overflow():
    np.testing.assert_allclose(tilt(UNIFORM, np.array([1.0, 0.0, 0.0]), 2000.0), [1, 0, 0])

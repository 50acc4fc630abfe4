import numpy as np
import pytest

import training.mixing_laws.gaussian_process as module
from training.mixing_laws.gaussian_process import (
    GaussianProcessLaw,
    min_runs,
    refit_gaussian_process,
)

DOMAINS = ("web", "code", "math")
WEIGHTS = np.random.default_rng(0).dirichlet(np.full(3, 0.7), size=40)


def truth(weights):
    return 2 + np.exp(-1.5 * weights[:, 1]) - 0.3 * np.sqrt(weights[:, 2])


def test_prediction_worked_by_hand():
    law = GaussianProcessLaw(
        mean=2.0, lengths=np.ones(2), runs=np.array([[1.0, 0.0]]), coefficients=np.array([0.5])
    )
    r = np.sqrt(5 * 2.0)  # the roots of the two corners are sqrt(2) apart
    expected = 2 + 0.5 * (1 + r + r**2 / 3) * np.exp(-r)
    np.testing.assert_allclose(law.predict(np.eye(2)), [2.5, expected])


def test_gradient_is_the_derivative():
    rng = np.random.default_rng(2)
    roots = np.sqrt(WEIGHTS[:12])
    apart = ((roots[:, None] - roots[None]) ** 2).reshape(-1, 3).T.copy()
    target, counts = rng.normal(size=12), rng.integers(1, 4, 12).astype(float)
    at = np.log([0.7, 1.3, 0.4, 2.0, 0.05])
    _, gradient = module._negative_log_likelihood(at, apart, target, counts)
    for index in range(5):
        step = 1e-6 * (np.arange(5) == index)
        up, down = (
            module._negative_log_likelihood(at + sign * step, apart, target, counts)[0]
            for sign in (1, -1)
        )
        assert gradient[index] == pytest.approx((up - down) / 2e-6, rel=1e-5, abs=1e-6)


def test_recovers_a_smooth_truth_and_filters_noise():
    losses = truth(WEIGHTS) + np.random.default_rng(1).normal(0, 0.01, 40)
    (law,) = refit_gaussian_process(WEIGHTS, losses, np.ones((1, 40)))
    fresh = np.random.default_rng(3).dirichlet(np.ones(3), size=200)
    assert np.abs(law.predict(fresh) - truth(fresh)).mean() < 0.01


def test_far_away_it_returns_to_the_mean():
    law = GaussianProcessLaw(
        mean=2.0, lengths=np.full(2, 0.02), runs=np.array([[1.0, 0.0]]), coefficients=np.ones(1)
    )
    assert law.predict(np.array([[0.0, 1.0]])) == pytest.approx([2.0])


def test_a_count_of_two_is_a_repeat_with_the_same_loss():
    # Only the mean and the noise feel it: both fits see the same posterior at fixed parameters.
    losses = truth(WEIGHTS[:15])
    counts = np.ones(15)
    counts[4] = 2
    (counted,) = refit_gaussian_process(WEIGHTS[:15], losses, counts[None])
    rows = [*range(15), 4]
    (repeated,) = refit_gaussian_process(WEIGHTS[rows], losses[rows], np.ones((1, 16)))
    np.testing.assert_allclose(counted.predict(WEIGHTS), repeated.predict(WEIGHTS), atol=0.01)


def test_left_out_runs_have_no_say_and_json_is_read_by_name():
    counts = np.ones((1, 40))
    counts[0, 5] = 0
    spoiled = truth(WEIGHTS)
    spoiled[5] += 3
    (clean,) = refit_gaussian_process(WEIGHTS, truth(WEIGHTS), counts)
    (law,) = refit_gaussian_process(WEIGHTS, spoiled, counts)
    np.testing.assert_array_equal(law.predict(WEIGHTS), clean.predict(WEIGHTS))
    back = GaussianProcessLaw.from_json(law.to_json(DOMAINS), ("math", "web", "code"))
    np.testing.assert_allclose(back.predict(WEIGHTS[:, [2, 0, 1]]), law.predict(WEIGHTS))
    assert law.describe(DOMAINS).startswith(f"{law.mean:.4g} + Matern over 39 runs")


def test_rejects():
    assert min_runs(3) == 7
    with pytest.raises(ValueError, match="more than 6 runs, got 6"):
        refit_gaussian_process(WEIGHTS[:6], truth(WEIGHTS[:6]), np.ones((1, 6)))
    law = GaussianProcessLaw(
        mean=2.0, lengths=np.ones(3), runs=WEIGHTS[:2], coefficients=np.ones(2)
    )
    record = law.to_json(DOMAINS)
    with pytest.raises(ValueError, match="nothing else"):
        GaussianProcessLaw.from_json(record, ("web", "code"))
    with pytest.raises(ValueError, match="needs 3 shares"):
        GaussianProcessLaw.from_json({**record, "coefficients": [1.0, 2.0, 3.0]}, DOMAINS)

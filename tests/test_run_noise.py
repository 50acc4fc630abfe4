import numpy as np
import pytest

from training.run_noise import concentration, estimate_noise, importance

RNG = np.random.default_rng(7)
MIXTURES = np.vstack([np.eye(4), RNG.dirichlet(np.full(4, 8.0), size=6)])
WEIGHTS = np.repeat(MIXTURES, 3, axis=0)
SPREAD = np.where(WEIGHTS.max(axis=1) == 1, 0.041, 0.0016)


def test_concentration_worked_by_hand():
    np.testing.assert_allclose(
        concentration(np.array([[0.5, 0.5], [1, 0], [0.75, 0.25]])), [0.5, 1, 0.625]
    )


def test_the_measured_spreads_are_found_again():
    noise = estimate_noise(WEIGHTS, 3 + RNG.normal(0, SPREAD))
    assert (noise.num_mixtures, noise.degrees_of_freedom) == (10, 20)
    assert noise.p_value <= 0.05
    sd = np.sqrt(noise.variance(np.array([[1.0, 0, 0, 0], [0.25] * 4])))
    assert sd[0] == pytest.approx(0.041, rel=0.5)
    assert sd[1] == pytest.approx(0.0016, rel=0.5)


def test_equal_noise_is_one_number():
    losses = np.tile([1.0, 2.0, 3.0], 10)  # variance 1 in every mixture
    noise = estimate_noise(WEIGHTS, losses)
    assert noise.trend == 0
    np.testing.assert_allclose(noise.variance(MIXTURES), 1.0)


def test_false_alarms_are_rare():
    rng = np.random.default_rng(11)
    alarms = [estimate_noise(WEIGHTS, 3 + rng.normal(0, 0.01, 30)).trend != 0 for _ in range(12)]
    assert sum(alarms) <= 3


def test_importance_worked_by_hand():
    noise = estimate_noise(WEIGHTS, 3 + RNG.normal(0, SPREAD))
    two = np.array([[1.0, 0, 0, 0], [0.25] * 4])
    noisy, quiet = noise.variance(two)
    # Residuals as large as the noise: no misfit, so weights go as the inverse variances.
    counted = importance(noise, two, np.sqrt([noisy, quiet]))
    assert counted.mean() == pytest.approx(1.0)
    assert counted[1] / counted[0] == pytest.approx(noisy / quiet)
    # A misfit far above the noise: all runs count alike.
    np.testing.assert_allclose(importance(noise, two, np.array([5.0, 5.0])), 1.0, atol=0.01)


def test_without_repeats_or_trend_all_runs_count_alike():
    assert estimate_noise(MIXTURES, np.arange(10.0)) is None
    np.testing.assert_array_equal(importance(None, MIXTURES, np.zeros(10)), np.ones(10))
    with pytest.raises(ValueError, match="weights"):
        estimate_noise(MIXTURES, np.zeros(3))

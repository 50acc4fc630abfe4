import numpy as np
import pytest
from scipy.optimize import check_grad, minimize

from training.mixing_laws import LAWS
from training.mixing_laws.soft_minimum import SoftMinimumLaw, refit_soft_minimum

TRUTH = SoftMinimumLaw(sharpness=0.6, corner_losses=np.array([2.1, 3.4, 5.0]))
WEIGHTS = np.random.default_rng(0).dirichlet(np.full(3, 0.7), size=24)


def test_predict_matches_a_value_worked_by_hand():
    law = SoftMinimumLaw(sharpness=2.0, corner_losses=np.array([3.0, 3.0 + 2 * np.log(4)]))
    # tau is 1 and 1/4 of exp(-3/2): at equal shares 5/8 of it.
    losses = law.predict(np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]))
    np.testing.assert_allclose(losses, [3, 3 + 2 * np.log(4), 3 - 2 * np.log(5 / 8)])


@pytest.mark.parametrize(("sharpness", "limit"), [(1e-3, 2.1), (1e4, 2.1 * 0.2 + 3.4 * 0.5 + 1.5)])
def test_limits_are_the_minimum_and_the_mean(sharpness, limit):
    law = SoftMinimumLaw(sharpness=sharpness, corner_losses=TRUTH.corner_losses)
    assert law.predict(np.array([[0.2, 0.5, 0.3]]))[0] == pytest.approx(limit, abs=2e-3)


@pytest.mark.parametrize("num_domains", [2, 3, 8])
def test_noise_free_losses_give_the_law_back(num_domains):
    rng = np.random.default_rng(num_domains)
    corners = rng.uniform(2, 6, num_domains)
    truth = SoftMinimumLaw(sharpness=0.45, corner_losses=corners)
    weights = rng.dirichlet(np.ones(num_domains), size=3 * (num_domains + 1))
    fitted = LAWS["soft_minimum"](weights, truth.predict(weights))
    unseen = rng.dirichlet(np.ones(num_domains), size=50)
    np.testing.assert_allclose(fitted.predict(unseen), truth.predict(unseen), atol=1e-6)
    assert fitted.sharpness == pytest.approx(0.45, abs=1e-5)


def test_fit_reaches_the_minimum_that_many_random_starts_find():
    rng = np.random.default_rng(3)
    weights = rng.dirichlet(np.full(4, 0.6), size=16)
    losses = 3 + 0.3 * weights[:, 0] * weights[:, 1] - 0.4 * np.log(0.05 + weights[:, 2])
    losses += rng.normal(0, 0.03, 16)

    def huber(law):
        size = np.abs(law.predict(weights) - losses)
        return np.where(size <= 0.02, size**2 / 2, 0.02 * (size - 0.01)).sum()

    def value(q):
        return huber(SoftMinimumLaw(sharpness=q[0], corner_losses=q[1:]))

    bounds = [(0.02, 20)] + [(0, 10 * losses.max())] * 4
    starts = (np.r_[rng.uniform(0.05, 3), rng.uniform(1, 8, 4)] for _ in range(12))
    rival = min(minimize(value, start, method="L-BFGS-B", bounds=bounds).fun for start in starts)
    assert huber(LAWS["soft_minimum"](weights, losses)) <= rival * 1.001


def test_derivatives_are_those_of_the_prediction():
    mixture = np.array([0.2, 0.5, 0.3])
    value = lambda p: float(TRUTH.predict(p[None])[0])  # noqa: E731
    assert check_grad(value, TRUTH.gradient, mixture) < 1e-6
    step = 1e-6
    for j, row in enumerate(TRUTH.hessian(mixture)):
        shift = step * np.eye(3)[j]
        slope = (TRUTH.gradient(mixture + shift) - TRUTH.gradient(mixture - shift)) / (2 * step)
        np.testing.assert_allclose(row, slope, rtol=1e-5, atol=1e-6)
    assert np.linalg.eigvalsh(TRUTH.hessian(mixture)).min() >= -1e-12


def test_leaving_a_run_out_is_a_count_of_zero():
    losses = TRUTH.predict(WEIGHTS) + np.random.default_rng(1).normal(0, 0.02, 24)
    counts = np.ones((2, 24))
    counts[1, 5] = 0
    _, without = refit_soft_minimum(WEIGHTS, losses, counts)
    alone = refit_soft_minimum(np.delete(WEIGHTS, 5, 0), np.delete(losses, 5), np.ones((1, 23)))[0]
    np.testing.assert_allclose(without.predict(WEIGHTS), alone.predict(WEIGHTS), atol=1e-6)


def test_record_is_read_back_by_name():
    names = ("a", "b", "c")
    back = SoftMinimumLaw.from_json(TRUTH.to_json(names), ("c", "a", "b"))
    np.testing.assert_allclose(back.corner_losses, TRUTH.corner_losses[[2, 0, 1]])
    assert TRUTH.describe(names).endswith("2.1 a, 3.4 b, 5 c")
    with pytest.raises(ValueError, match="corner_losses"):
        SoftMinimumLaw.from_json(TRUTH.to_json(names), ("a", "b"))


def test_too_few_runs_are_refused():
    with pytest.raises(ValueError, match="runs"):
        LAWS["soft_minimum"](WEIGHTS[:4], TRUTH.predict(WEIGHTS[:4]))

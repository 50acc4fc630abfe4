import numpy as np
import pytest

from training.mixing_laws import LAWS
from training.mixing_laws.exponential import ExponentialLaw, refit_exponential
from training.mixing_laws.interface import ConvexLaw, Runs

WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(4), size=20)
TRANSFER = np.array([0.3, -0.2, 0.1, -0.2])
TRUTHS = [
    ExponentialLaw(irreducible_loss=c, size=k, sensitivities=-4.0 * np.eye(4)[own] + TRANSFER)
    for c, k, own in [(1.0, 2.0, 0), (2.0, 1.0, 2), (1.5, 0.5, 3)]
]
RUNS = Runs(
    weights=WEIGHTS,
    losses=np.column_stack([truth.predict(WEIGHTS) for truth in TRUTHS]),
    own_columns=(0, 2, 3),
)


def test_predict_matches_a_value_worked_by_hand():
    law = ExponentialLaw(irreducible_loss=2.0, size=3.0, sensitivities=np.log([1.0, 4.0]))
    np.testing.assert_allclose(law.predict(np.array([[0.5, 0.5], [0.0, 1.0]])), [8.0, 14.0])


def test_noise_free_losses_give_the_laws_back():
    fresh = np.random.default_rng(1).dirichlet(np.ones(4), size=50)
    for law, truth in zip(refit_exponential(RUNS, np.ones((1, 20)))[0], TRUTHS, strict=True):
        np.testing.assert_allclose(law.predict(fresh), truth.predict(fresh), atol=1e-5)
        assert law.irreducible_loss == pytest.approx(truth.irreducible_loss, abs=1e-4)


def test_sharing_the_shape_helps_where_runs_are_few_and_noisy():
    rng = np.random.default_rng(2)
    rest = WEIGHTS[9:]
    errors = {"exponential": 0.0, "log_linear": 0.0}
    for _ in range(4):
        losses = RUNS.losses[:9] + rng.normal(0, 0.03, (9, 3))
        noisy = Runs(weights=WEIGHTS[:9], losses=losses, own_columns=RUNS.own_columns)
        for name in errors:
            laws = zip(LAWS[name].refit(noisy, np.ones((1, 9)))[0], TRUTHS, strict=True)
            errors[name] += sum(np.abs(a.predict(rest) - b.predict(rest)).mean() for a, b in laws)
    assert errors["exponential"] < 0.9 * errors["log_linear"]


def test_a_domain_that_is_not_trained_on_has_no_own_share():
    runs = Runs(weights=WEIGHTS, losses=RUNS.losses, own_columns=(0, None, 3))
    own, other, _ = refit_exponential(runs, np.ones((1, 20)))[0]
    gap = own.sensitivities - other.sensitivities
    np.testing.assert_allclose(gap[1:], 0, atol=1e-12)
    assert gap[0] < -1


def test_counts_of_zero_equal_rows_left_out():
    counts = np.ones((1, 20))
    counts[0, 3] = 0
    losses = RUNS.losses + np.random.default_rng(3).normal(0, 0.01, (20, 3))
    without = refit_exponential(Runs(weights=WEIGHTS, losses=losses, own_columns=(0, 2, 3)), counts)
    runs = Runs(
        weights=np.delete(WEIGHTS, 3, 0), losses=np.delete(losses, 3, 0), own_columns=(0, 2, 3)
    )
    expected = refit_exponential(runs, np.ones((1, 19)))
    for law, wanted in zip(without[0], expected[0], strict=True):
        np.testing.assert_allclose(law.predict(WEIGHTS), wanted.predict(WEIGHTS), atol=1e-4)


def test_derivatives_match_differences():
    law, mixture, step = TRUTHS[0], np.array([0.2, 0.4, 0.3, 0.1]), 1e-6
    assert isinstance(law, ConvexLaw)
    for axis in range(4):
        ahead, behind = mixture + step * np.eye(4)[axis], mixture - step * np.eye(4)[axis]
        slope = (law.predict(ahead[None]) - law.predict(behind[None]))[0] / (2 * step)
        assert law.gradient(mixture)[axis] == pytest.approx(slope, rel=1e-6)
        bend = (law.gradient(ahead) - law.gradient(behind)) / (2 * step)
        np.testing.assert_allclose(law.hessian(mixture)[axis], bend, rtol=1e-5)


def test_json_and_description_are_keyed_by_name():
    law = ExponentialLaw(irreducible_loss=1.0, size=2.0, sensitivities=np.array([0.5, -3.0]))
    record = law.to_json(["web", "code"])
    turned = LAWS["exponential"].from_json(record, ["code", "web"])
    np.testing.assert_array_equal(turned.sensitivities, [-3.0, 0.5])
    assert law.describe(["web", "code"]) == "1 + 2 exp(-3 code +0.5 web)"
    with pytest.raises(ValueError, match="wanted"):
        LAWS["exponential"].from_json(record, ["code", "law"])


def test_fit_rejects_too_few_runs():
    runs = Runs(weights=WEIGHTS[:6], losses=RUNS.losses[:6], own_columns=(0, 2, 3))
    with pytest.raises(ValueError, match="more than 6 runs, got 6"):
        refit_exponential(runs, np.ones((1, 6)))
    assert LAWS["exponential"].min_runs(4) == 7

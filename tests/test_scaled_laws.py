import numpy as np
import pytest

from training.mixing_laws.interface import ConvexLaw
from training.mixing_laws.scaled_laws import ExponentialSum, ScaledLaw, fit_scaled_law

RNG = np.random.default_rng(0)
WEIGHTS = RNG.dirichlet(np.ones(3), size=40)
PARAMS = RNG.choice([7e7, 1.6e8, 3e8, 4e8], size=40)
TOKENS = RNG.choice([5e9, 1e10, 2e10, 4e10], size=40)
TRUTHS = {
    "additive": ScaledLaw(
        form="additive",
        limit=1.5,
        exponents=(0.3, 0.4),
        references=(2e8, 1e10),
        amplitudes=(0.5, 0.4),
        sensitivities=np.array([[-2.0, 0.3, -0.5]]),
    ),
    "log_linear": ScaledLaw(
        form="log_linear",
        limit=1.2,
        exponents=(0.3, 0.4),
        references=(2e8, 1e10),
        amplitudes=(1.0, 1.0),
        sensitivities=np.array([[-1.0, 0.2, -0.4], [0.1, -2.0, 0.3]]),
    ),
}


def test_predict_matches_values_worked_by_hand():
    law = ScaledLaw(
        form="additive",
        limit=1.0,
        exponents=(0.5, 1.0),
        references=(100.0, 10.0),
        amplitudes=(2.0, 3.0),
        sensitivities=np.log([[1.0, 4.0]]),
    )
    # 1 + exp(log 4 / 2) + 2 (400 / 100)^-0.5 + 3 (30 / 10)^-1
    value = law.predict(np.array([[0.5, 0.5]]), np.array([400.0]), np.array([30.0]))
    np.testing.assert_allclose(value, [1 + 2 + 1 + 1])
    joint = ScaledLaw(
        form="log_linear",
        limit=1.0,
        exponents=(0.5, 1.0),
        references=(100.0, 10.0),
        amplitudes=(1.0, 1.0),
        sensitivities=np.log([[1.0, 4.0], [9.0, 1.0]]),
    )
    value = joint.predict(np.array([[0.5, 0.5]]), np.array([400.0]), np.array([30.0]))
    np.testing.assert_allclose(value, [1 + 2 / 2 + 3 / 3])


@pytest.mark.parametrize("form", ["additive", "log_linear"])
def test_noise_free_runs_extrapolate_to_a_larger_scale(form):
    losses = TRUTHS[form].predict(WEIGHTS, PARAMS, TOKENS)
    law = fit_scaled_law(WEIGHTS, PARAMS, TOKENS, losses, form=form)
    larger = (WEIGHTS, np.full(40, 3e9), np.full(40, 3e11))
    np.testing.assert_allclose(law.predict(*larger), TRUTHS[form].predict(*larger), atol=2e-3)
    np.testing.assert_allclose(law.predict(WEIGHTS, PARAMS, TOKENS), losses, atol=1e-5)


def test_the_forms_differ_in_what_scale_does_to_the_effect_of_the_mixture():
    small, large = {"params": 1e8, "tokens": 1e10}, {"params": 1e10, "tokens": 1e12}
    corners = np.eye(3)
    effect = {
        (form, size["params"]): np.ptp(law.at(**size).predict(corners))
        for form, law in TRUTHS.items()
        for size in (small, large)
    }
    assert effect["additive", 1e8] == pytest.approx(effect["additive", 1e10])
    assert effect["log_linear", 1e10] < 0.5 * effect["log_linear", 1e8]


def test_the_law_at_one_scale_is_convex_with_the_right_derivatives():
    law = TRUTHS["log_linear"].at(params=1e8, tokens=3e9)
    assert isinstance(law, ConvexLaw)
    mixture, step = np.array([0.2, 0.5, 0.3]), 1e-6
    for axis in range(3):
        ahead, behind = mixture + step * np.eye(3)[axis], mixture - step * np.eye(3)[axis]
        slope = (law.predict(ahead[None]) - law.predict(behind[None]))[0] / (2 * step)
        assert law.gradient(mixture)[axis] == pytest.approx(slope, rel=1e-6)
        bend = (law.gradient(ahead) - law.gradient(behind)) / (2 * step)
        np.testing.assert_allclose(law.hessian(mixture)[axis], bend, rtol=1e-5)


def test_json_and_description_are_keyed_by_name():
    law = ExponentialSum(constant=1.5, exponents=np.array([[0.5, -2.0]]))
    assert law.to_json(["web", "code"]) == {
        "constant": 1.5,
        "exponents": [{"web": 0.5, "code": -2.0}],
    }
    assert law.describe(["web", "code"]) == "1.5 + exp(+0.5 web -2 code)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"params": np.full(40, 1e8)}, "params is 100000000.0 in every run"),
        ({"tokens": -TOKENS}, "tokens must be positive"),
        ({"weights": WEIGHTS * 0.9}, "sum to 1"),
        ({"form": "bilinear"}, "form must be"),
    ],
)
def test_fit_rejects(changes, message):
    good = {
        "weights": WEIGHTS,
        "params": PARAMS,
        "tokens": TOKENS,
        "losses": np.full(40, 3.0),
        "form": "additive",
    }
    with pytest.raises(ValueError, match=message):
        fit_scaled_law(**{**good, **changes})


def test_fit_rejects_too_few_runs_and_a_scale_of_zero():
    few = slice(0, 7)
    losses = TRUTHS["additive"].predict(WEIGHTS, PARAMS, TOKENS)
    with pytest.raises(ValueError, match="more than 7 runs, got 7"):
        fit_scaled_law(WEIGHTS[few], PARAMS[few], TOKENS[few], losses[few], form="additive")
    with pytest.raises(ValueError, match="must be positive"):
        TRUTHS["additive"].at(params=0, tokens=1e9)

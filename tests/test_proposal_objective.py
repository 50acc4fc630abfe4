import numpy as np
import pytest

from training.fitted_laws import FittedLaws
from training.mixing_laws.log_linear import LogLinearLaw
from training.proposal_objective import Objective, weighted_loss
from training.repetition_cost import RepetitionCost

PRIOR = np.array([0.5, 0.3, 0.2])
POINT = np.array([0.2, 0.45, 0.35])
IMPORTANCE = np.array([0.75, 0.25])


def laws(shift=0.0):
    slopes = np.array([[-0.9, 0.2, 0.6], [0.4, -1.4, 0.3]]) + shift
    return FittedLaws(
        method="log_linear",
        domains=("a", "b", "c"),
        eval_domains=("x", "y"),
        laws=tuple(LogLinearLaw(irreducible_loss=1.5, sensitivities=row) for row in slopes),
    )


REFITS = tuple(laws(np.random.default_rng(n).normal(0, 0.2, (2, 3))) for n in range(40))
COST = RepetitionCost(
    available_tokens=np.array([100.0, 20.0, 5.0]),
    budget_tokens=100.0,
    coefficient=3.0,
    exponent=0.4,
)


def objective(**changes):
    fields = {"laws": laws(), "importance": IMPORTANCE, "prior": PRIOR, "kl": 0.05}
    return Objective(**{**fields, **changes})


def test_value_is_loss_plus_penalties():
    losses = laws().predict(POINT[None])[0]
    by_hand = losses @ IMPORTANCE + 0.05 * (POINT * np.log(POINT / PRIOR)).sum()
    assert objective().values(POINT[None])[0] == pytest.approx(by_hand)
    assert objective().losses(POINT[None])[0] == pytest.approx(losses @ IMPORTANCE)
    priced = objective(repetition=COST)
    assert priced.values(POINT[None])[0] == pytest.approx(by_hand + COST.values(POINT[None])[0])


def test_bounds_are_means_of_the_worst_and_best_refits():
    each = np.sort([refit.predict(POINT[None])[0] @ IMPORTANCE for refit in REFITS])
    for risk, expected in (("upper", each[-4:].mean()), ("lower", each[:4].mean())):
        found = objective(risk=risk, tail=0.1, refits=REFITS, kl=0.0).values(POINT[None])[0]
        assert found == pytest.approx(expected)


@pytest.mark.parametrize("risk", ["mean", "upper"])
def test_convex_form_agrees_with_its_differences(risk):
    function = objective(risk=risk, refits=REFITS, repetition=COST).convex()
    steps = 1e-5 * np.eye(3)
    slope = [(function.value(POINT + s) - function.value(POINT - s)) / 2e-5 for s in steps]
    np.testing.assert_allclose(function.gradient(POINT), slope, rtol=1e-5)
    bend = [(function.gradient(POINT + s) - function.gradient(POINT - s)) / 2e-5 for s in steps]
    np.testing.assert_allclose(function.hessian(POINT), bend, rtol=1e-4, atol=1e-6)
    assert np.linalg.eigvalsh(function.hessian(POINT)).min() > 0


def test_convex_upper_bound_is_near_the_exact_one():
    upper = objective(risk="upper", refits=REFITS)
    exact, smooth = upper.values(POINT[None])[0], upper.convex().value(POINT)
    spread = np.std([refit.predict(PRIOR[None])[0] @ IMPORTANCE for refit in REFITS])
    assert exact - 0.02 * spread <= smooth <= exact + 0.5 * spread


def test_lower_bound_has_no_convex_form():
    with pytest.raises(ValueError, match="not convex"):
        objective(risk="lower", refits=REFITS).convex()


def test_domains_of_no_importance_do_not_count():
    only = weighted_loss(laws(), np.array([0.0, 1.0]))
    assert only.value(POINT) == pytest.approx(laws().predict(POINT[None])[0, 1])
    np.testing.assert_allclose(only.gradient(POINT), laws().laws[1].gradient(POINT))

import numpy as np
import pytest

from training.mixing_laws import LAWS
from training.mixing_laws.additive import AdditiveLaw, refit_additive, refit_signed_additive
from training.mixing_laws.interface import ConvexLaw, Runs

WEIGHTS = np.random.default_rng(0).dirichlet(np.full(4, 0.5), size=40)


def truth(exponent, strengths=(0.2, 0.0, 0.05, 0.1)):
    return AdditiveLaw(
        intercept=3.0,
        slopes=np.array([0.1, -0.2, 0.3, 0.0]),
        strengths=np.array(strengths),
        offset=0.05,
        exponent=exponent,
    )


def runs_of(losses, weights=WEIGHTS, own=0):
    return Runs(weights=weights, losses=np.reshape(losses, (len(weights), -1)), own_columns=(own,))


def test_predict_matches_a_value_worked_by_hand():
    law = AdditiveLaw(
        intercept=1.0,
        slopes=np.array([0.5, 0.0]),
        strengths=np.array([2.0, 0.0]),
        offset=0.5,
        exponent=1.0,
    )
    # phi(0.5) = 1 / 1 - 1 = 0; phi(0) = 1 / 0.5 - 1 = 1
    np.testing.assert_allclose(law.predict(np.array([[0.5, 0.5], [0.0, 1.0]])), [1.25, 3.0])


@pytest.mark.parametrize("exponent", [0.0, 0.4, 1.7])
def test_noise_free_losses_are_predicted_at_fresh_mixtures(exponent):
    law = LAWS["additive"](WEIGHTS, truth(exponent).predict(WEIGHTS))
    fresh = np.random.default_rng(1).dirichlet(np.ones(4), size=100)
    np.testing.assert_allclose(law.predict(fresh), truth(exponent).predict(fresh), atol=1e-4)


def test_a_loss_that_is_steep_at_zero_is_followed_better_than_by_an_exponential():
    rng = np.random.default_rng(2)
    steep = 2.5 - 0.3 * np.log(WEIGHTS[:, 0] + 0.01) + rng.normal(0, 0.03, 40)
    counts = 1 - np.eye(40)
    errors = {}
    for name in ("additive", "log_linear"):
        laws = LAWS[name].refit(runs_of(steep), counts)
        predicted = [law[0].predict(WEIGHTS[[i]])[0] for i, law in enumerate(laws)]
        errors[name] = np.abs(predicted - steep).mean()
    assert errors["additive"] < 0.6 * errors["log_linear"]
    assert errors["additive"] < 0.045


def test_shares_without_influence_are_shrunk_away():
    rng = np.random.default_rng(3)
    weights = rng.dirichlet(np.ones(8), size=24)
    losses = 3 - 0.3 * np.log(weights[:, 0] + 0.03) + rng.normal(0, 0.05, 24)
    law = refit_additive(runs_of(losses, weights), np.ones((1, 24)))[0][0]
    others = np.delete(law.strengths, 0)
    assert law.strengths[0] > 5 * others.max()


def test_strengths_are_bounded_only_where_the_law_must_be_convex():
    losses = truth(0.0, (0.3, -0.2, 0.0, 0.0)).predict(WEIGHTS)
    convex = refit_additive(runs_of(losses), np.ones((1, 40)))[0][0]
    signed = refit_signed_additive(runs_of(losses), np.ones((1, 40)))[0][0]
    assert (convex.strengths >= 0).all()
    assert signed.strengths[1] < -0.1
    assert LAWS["additive"].convex
    assert not LAWS["additive_signed"].convex


def test_copies_of_a_run_are_left_out_together():
    # Every run twice: a leave-one-out that leaves one copy in would choose no ridge at all.
    rng = np.random.default_rng(4)
    weights = rng.dirichlet(np.ones(6), size=14)
    losses = 3 - 0.2 * np.log(weights[:, 0] + 0.02) + rng.normal(0, 0.1, 14)
    once, twice = refit_additive(
        runs_of(losses, weights), np.array([np.ones(14), np.full(14, 2.0)])
    )
    np.testing.assert_allclose(once[0].predict(weights), twice[0].predict(weights), atol=1e-6)


def test_counts_of_zero_equal_rows_left_out():
    losses = truth(0.5).predict(WEIGHTS) + np.random.default_rng(5).normal(0, 0.02, 40)
    counts = np.ones((1, 40))
    counts[0, 7] = 0
    without = refit_additive(runs_of(losses), counts)[0][0]
    kept = np.delete(np.arange(40), 7)
    expected = refit_additive(runs_of(losses[kept], WEIGHTS[kept]), np.ones((1, 39)))[0][0]
    np.testing.assert_allclose(without.predict(WEIGHTS), expected.predict(WEIGHTS), atol=5e-3)


def test_derivatives_match_differences_and_the_law_is_convex():
    law, mixture, step = truth(0.7), np.array([0.2, 0.4, 0.3, 0.1]), 1e-6
    assert isinstance(law, ConvexLaw)
    for axis in range(4):
        ahead, behind = mixture + step * np.eye(4)[axis], mixture - step * np.eye(4)[axis]
        slope = (law.predict(ahead[None]) - law.predict(behind[None]))[0] / (2 * step)
        assert law.gradient(mixture)[axis] == pytest.approx(slope, rel=1e-6)
        bend = (law.gradient(ahead) - law.gradient(behind)) / (2 * step)
        np.testing.assert_allclose(law.hessian(mixture)[axis], bend, rtol=1e-5, atol=1e-6)
    middle = law.predict((WEIGHTS[:20] + WEIGHTS[20:]) / 2)
    ends = (law.predict(WEIGHTS[:20]) + law.predict(WEIGHTS[20:])) / 2
    assert (middle <= ends + 1e-12).all()


def test_json_and_description_are_keyed_by_name():
    names = ["web", "code", "math", "law"]
    turned = LAWS["additive"].from_json(truth(1.0).to_json(names), names[::-1])
    np.testing.assert_array_equal(turned.strengths, [0.1, 0.05, 0.0, 0.2])
    np.testing.assert_array_equal(turned.slopes, [0.0, 0.3, -0.2, 0.1])
    assert "+0.2 phi(web) +0.1 phi(law) +0.05 phi(math);" in truth(1.0).describe(names)
    with pytest.raises(ValueError, match="wanted"):
        LAWS["additive"].from_json(truth(1.0).to_json(names), ["web", "code", "math", "books"])


def test_fit_rejects_too_few_runs():
    with pytest.raises(ValueError, match="more than 7 runs, got 7"):
        refit_additive(runs_of(truth(0.0).predict(WEIGHTS[:7]), WEIGHTS[:7]), np.ones((1, 7)))
    assert LAWS["additive"].min_runs(4) == 8

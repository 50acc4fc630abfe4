import numpy as np
import pytest
from scipy.optimize import least_squares

from training.mixing_laws import LAWS
from training.mixing_laws.log_linear import (
    LogLinearLaw,
    fit_log_linear,
    refit_log_linear,
)
from training.robust_fit import HUBER_NATS

TRUTH = LogLinearLaw(irreducible_loss=1.7, sensitivities=np.array([-0.9, 0.2, 0.6]))
WEIGHTS = np.random.default_rng(0).dirichlet(np.full(3, 0.7), size=24)
LOSSES = TRUTH.predict(WEIGHTS)


def huber(law, weights, losses):
    size = np.abs(law.predict(weights) - losses)
    return np.where(size <= HUBER_NATS, size**2 / 2, HUBER_NATS * (size - HUBER_NATS / 2)).sum()


def test_predict_matches_a_value_worked_by_hand():
    law = LogLinearLaw(irreducible_loss=2.0, sensitivities=np.log([1.0, 4.0]))
    np.testing.assert_allclose(law.predict(np.array([[0.5, 0.5], [0.0, 1.0]])), [4.0, 6.0])


@pytest.mark.parametrize("num_domains", [2, 3, 7, 12])
def test_noise_free_losses_give_the_law_back(num_domains):
    rng = np.random.default_rng(num_domains)
    truth = LogLinearLaw(irreducible_loss=1.3, sensitivities=rng.normal(0.2, 0.8, size=num_domains))
    weights = rng.dirichlet(np.ones(num_domains), size=3 * (num_domains + 1))
    fitted = LAWS["log_linear"](weights, truth.predict(weights))
    assert fitted.irreducible_loss == pytest.approx(1.3, abs=1e-6)
    np.testing.assert_allclose(fitted.sensitivities, truth.sensitivities, atol=1e-6)


def product_losses(seed):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(5, 0.5), size=20)
    bend = 0.4 * np.log(0.05 + weights[:, 0]) * weights[:, 1]
    return weights, 3 - bend + rng.normal(0, 0.06, 20)


def two_exponentials(seed):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(5, 0.4), size=20)
    losses = 2 + np.exp(weights @ rng.normal(-1, 2, 5)) + np.exp(weights @ rng.normal(-2, 4, 5))
    return weights, losses + rng.normal(0, 0.03, 20)


@pytest.mark.parametrize(
    ("runs", "left_out"),
    [
        (product_losses(3), 2),  # a start from c = 0 alone ends 30 % too high
        (product_losses(4), 15),  # the lower half of the grid alone, 23 %
        (two_exponentials(5), 0),  # the top of the grid alone, 67 %
    ],
)
def test_fit_reaches_the_minimum_that_many_random_starts_find(runs, left_out):
    # Losses of another form give the objective several basins: only then does a fit prove itself.
    weights, losses = (np.delete(values, left_out, axis=0) for values in runs)
    rng = np.random.default_rng(0)
    ceiling = np.log(1e3 * losses.max())
    best = np.inf
    for _ in range(12):
        c = rng.uniform(0, losses.min() * 0.999)
        t = np.linalg.lstsq(weights, np.log(losses - c), rcond=None)[0] + rng.normal(0, 0.5, 5)
        found = least_squares(
            lambda q: q[0] + np.exp(weights @ q[1:]) - losses,
            np.array([c, *np.minimum(t, ceiling - 1e-6)]),
            bounds=([0] + [-1e3] * 5, [losses.min()] + [ceiling] * 5),
            loss="huber",
            f_scale=HUBER_NATS,
            x_scale="jac",
            max_nfev=300,
        ).x
        rival = LogLinearLaw(irreducible_loss=found[0], sensitivities=found[1:])
        best = min(best, huber(rival, weights, losses))
    assert huber(fit_log_linear(weights, losses), weights, losses) <= best * 1.001


def test_steep_slopes_are_found():
    # A loss that falls at the first per cent of its own domain: -60 still matters there.
    truth = LogLinearLaw(irreducible_loss=1.5, sensitivities=np.array([1.0, 0.8, -60.0]))
    weights = np.array([[0.5, 0.5, 0], [1, 0, 0], [0, 1, 0], [0.4, 0.59, 0.01], [0.7, 0.27, 0.03],
                        [0.1, 0.84, 0.06], [0.45, 0.45, 0.1], [0.2, 0.75, 0.05]])  # fmt: skip
    fitted = fit_log_linear(weights, truth.predict(weights))
    np.testing.assert_allclose(fitted.sensitivities, truth.sensitivities, rtol=1e-5)


def test_one_wild_loss_moves_the_law_far_less_than_it_moves_least_squares():
    spoiled = LOSSES.copy()
    spoiled[3] += 1.0
    others = np.arange(24) != 3

    def error(law):
        return np.abs(law.predict(WEIGHTS) - LOSSES)[others].mean()

    squares = least_squares(
        lambda q: q[0] + np.exp(WEIGHTS @ q[1:]) - spoiled, np.array([1.7, -0.9, 0.2, 0.6])
    ).x
    plain = LogLinearLaw(irreducible_loss=squares[0], sensitivities=squares[1:])
    assert error(fit_log_linear(WEIGHTS, spoiled)) < error(plain) / 10


def test_counts_of_zero_equal_rows_left_out_and_two_equals_a_row_twice():
    losses = LOSSES + np.random.default_rng(1).normal(0, 0.01, 24)
    counts = np.ones((2, 24))
    counts[0, 5], counts[1, 7] = 0, 2
    without, doubled = refit_log_linear(WEIGHTS, losses, counts)
    expected = fit_log_linear(np.delete(WEIGHTS, 5, axis=0), np.delete(losses, 5))
    np.testing.assert_allclose(without.predict(WEIGHTS), expected.predict(WEIGHTS), atol=1e-6)
    expected = fit_log_linear(np.vstack([WEIGHTS, WEIGHTS[7]]), np.append(losses, losses[7]))
    np.testing.assert_allclose(doubled.predict(WEIGHTS), expected.predict(WEIGHTS), atol=1e-6)


def test_same_runs_in_any_order_give_the_same_law():
    losses = LOSSES + np.random.default_rng(1).normal(0, 0.01, 24)
    order = np.random.default_rng(2).permutation(24)
    first, second = fit_log_linear(WEIGHTS, losses), fit_log_linear(WEIGHTS[order], losses[order])
    np.testing.assert_allclose(first.predict(WEIGHTS), second.predict(WEIGHTS), atol=1e-6)
    again = fit_log_linear(WEIGHTS, losses)
    assert np.array_equal(first.sensitivities, again.sensitivities)


def test_pure_noise_stays_bounded():
    rng = np.random.default_rng(3)
    weights, losses = rng.dirichlet(np.full(7, 0.2), size=24), 4 + rng.normal(0, 0.05, 24)
    counts = rng.multinomial(24, np.full(24, 1 / 24), size=30).astype(float)
    counts = counts[(counts > 0).sum(axis=1) >= 9]
    assert len(counts) > 20
    for law in refit_log_linear(weights, losses, counts):
        assert 0 <= law.irreducible_loss < losses.max()
        assert (law.predict(np.eye(7)) <= 1001.001 * losses.max()).all()


def test_derivatives_match_differences_and_the_law_is_convex():
    mixture, step = np.array([0.2, 0.5, 0.3]), 1e-6
    for axis in range(3):
        ahead, behind = mixture + step * np.eye(3)[axis], mixture - step * np.eye(3)[axis]
        slope = (TRUTH.predict(ahead[None]) - TRUTH.predict(behind[None]))[0] / (2 * step)
        assert TRUTH.gradient(mixture)[axis] == pytest.approx(slope, rel=1e-6)
        bend = (TRUTH.gradient(ahead) - TRUTH.gradient(behind)) / (2 * step)
        np.testing.assert_allclose(TRUTH.hessian(mixture)[axis], bend, rtol=1e-6)
    middle = TRUTH.predict((WEIGHTS[:12] + WEIGHTS[12:]) / 2)
    assert (middle <= (LOSSES[:12] + LOSSES[12:]) / 2 + 1e-12).all()


def test_json_is_keyed_by_name_not_by_position():
    record = TRUTH.to_json(["web", "code", "math"])
    turned = LogLinearLaw.from_json(record, ["math", "web", "code"])
    np.testing.assert_array_equal(turned.sensitivities, [0.6, -0.9, 0.2])
    with pytest.raises(ValueError, match="wanted"):
        LogLinearLaw.from_json(record, ["web", "code", "law"])
    with pytest.raises(ValueError, match="extra"):
        LogLinearLaw.from_json({**record, "extra": 1}, ["web", "code", "math"])


@pytest.mark.parametrize(
    ("weights", "losses", "message"),
    [
        (WEIGHTS * 0.9, LOSSES, "sum to 1"),
        (WEIGHTS[:4], LOSSES[:4], "more than 4 runs, got 4"),
        (WEIGHTS, LOSSES[:-1], "shape"),
        (WEIGHTS, -LOSSES, "positive"),
        (WEIGHTS, np.where(np.arange(24) == 2, np.nan, LOSSES), "finite"),
    ],
)
def test_fit_rejects(weights, losses, message):
    with pytest.raises(ValueError, match=message):
        fit_log_linear(weights, losses)


def test_refit_rejects_counts_that_leave_too_few_runs():
    counts = np.zeros((1, 24))
    counts[0, :4] = 6
    with pytest.raises(ValueError, match="got 4"):
        refit_log_linear(WEIGHTS, LOSSES, counts)
    with pytest.raises(ValueError, match="counts"):
        refit_log_linear(WEIGHTS, LOSSES, -np.ones((1, 24)))

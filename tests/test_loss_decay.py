import numpy as np
import pytest

from training.loss_decay import LossDecay, fit_loss_decays

STEPS = np.array([10e3, 12e3, 14e3, 16e3, 18e3, 20e3])
TRUTHS = [
    LossDecay(limit=2.0, amplitude=0.6, exponent=0.5, reference=15e3),
    LossDecay(limit=1.5, amplitude=1.1, exponent=0.5, reference=15e3),
]


def test_predict_matches_a_value_worked_by_hand():
    law = LossDecay(limit=2.0, amplitude=0.5, exponent=0.5, reference=100.0)
    np.testing.assert_allclose(law.predict(np.array([100.0, 400.0])), [2.5, 2.25])


@pytest.mark.parametrize("shared", [False, True])
def test_noise_free_curves_extend_exactly(shared):
    losses = np.array([truth.predict(STEPS) for truth in TRUTHS])
    later = np.array([30e3, 100e3])
    for law, truth in zip(fit_loss_decays(STEPS, losses, shared=shared), TRUTHS, strict=True):
        np.testing.assert_allclose(law.predict(later), truth.predict(later), atol=1e-5)
        assert law.exponent == pytest.approx(0.5, abs=1e-3)


def test_absent_points_are_left_out_and_a_wild_one_hardly_counts():
    losses = np.array([TRUTHS[0].predict(STEPS)] * 2)
    losses[0, 2] = np.nan
    losses[1, 3] += 0.5
    holed, wild = fit_loss_decays(STEPS, losses, shared=True, huber=0.001)
    assert holed.predict(np.array([3e4]))[0] == pytest.approx(
        TRUTHS[0].predict(np.array([3e4]))[0], abs=1e-3
    )
    assert wild.predict(np.array([3e4]))[0] == pytest.approx(
        TRUTHS[0].predict(np.array([3e4]))[0], abs=0.01
    )


def test_a_shared_exponent_extends_noisy_curves_better():
    rng = np.random.default_rng(0)
    levels = rng.uniform(1, 2, size=(30, 2))
    truths = [LossDecay(limit=e, amplitude=b, exponent=0.4, reference=15e3) for e, b in levels]
    losses = np.array([truth.predict(STEPS) for truth in truths]) + rng.normal(0, 0.004, (30, 6))
    wanted = np.array([truth.predict(np.array([30e3])) for truth in truths])

    def error(shared):
        laws = fit_loss_decays(STEPS, losses, shared=shared)
        return np.abs(np.array([law.predict(np.array([30e3])) for law in laws]) - wanted).mean()

    assert error(shared=True) < 0.8 * error(shared=False)


def test_a_rising_curve_is_fitted_flat():
    (law,) = fit_loss_decays(STEPS, np.array([[2.0, 2.1, 2.2, 2.3, 2.4, 2.5]]))
    assert law.amplitude == 0.0
    assert 2.0 <= law.limit <= 2.5


@pytest.mark.parametrize(
    ("x", "losses", "shared", "message"),
    [
        (STEPS, np.ones((1, 5)), False, "shape"),
        (-STEPS, np.ones((1, 6)), False, "positive"),
        (STEPS, -np.ones((1, 6)), False, "positive"),
        (STEPS[:2], np.ones((1, 2)), False, "needs 3 different points, got 2"),
        (STEPS[:1], np.ones((1, 1)), True, "needs 2 different points, got 1"),
    ],
)
def test_fit_rejects(x, losses, shared, message):
    with pytest.raises(ValueError, match=message):
        fit_loss_decays(x, losses, shared=shared)

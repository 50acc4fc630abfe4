import numpy as np
import pytest

from training.mixing_laws.linear import LinearLaw, min_runs, refit_linear

WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(3), size=8)
TRUE = np.array([3.0, 2.0, 4.0])


def test_worked_by_hand():
    law = LinearLaw(corner_losses=TRUE)
    mixture = np.array([0.5, 0.25, 0.25])
    assert law.predict(mixture[None]) == pytest.approx([3.0])
    np.testing.assert_array_equal(law.gradient(mixture), TRUE)
    np.testing.assert_array_equal(law.hessian(mixture), np.zeros((3, 3)))
    assert law.describe(("web", "code", "math")) == "+2 code +3 web +4 math"


def test_recovers_what_made_the_losses_and_counts_are_repeats():
    noisy = WEIGHTS @ TRUE + np.random.default_rng(1).normal(0, 0.1, 8)
    counts = np.array([1, 2, 0, 1, 1, 3, 1, 1.0])
    clean, counted = refit_linear(WEIGHTS, WEIGHTS @ TRUE, np.array([np.ones(8), counts]))
    np.testing.assert_allclose(clean.corner_losses, TRUE, atol=1e-12)
    (counted,) = refit_linear(WEIGHTS, noisy, counts[None])
    rows = np.repeat(np.arange(8), counts.astype(int))
    (repeated,) = refit_linear(WEIGHTS[rows], noisy[rows], np.ones((1, len(rows))))
    np.testing.assert_allclose(counted.corner_losses, repeated.corner_losses, atol=1e-12)


def test_json_is_read_by_name():
    law = LinearLaw(corner_losses=TRUE)
    record = law.to_json(("web", "code", "math"))
    back = LinearLaw.from_json(record, ("math", "web", "code"))
    np.testing.assert_array_equal(back.corner_losses, [4.0, 3.0, 2.0])
    with pytest.raises(ValueError, match="wanted"):
        LinearLaw.from_json(record, ("web", "code"))


def test_too_few_runs_are_refused():
    assert min_runs(3) == 4
    with pytest.raises(ValueError, match="3 parameters need more than 3 runs, got 3"):
        refit_linear(WEIGHTS[:3], WEIGHTS[:3] @ TRUE, np.ones((1, 3)))

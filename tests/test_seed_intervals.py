import numpy as np
import pytest
from scipy.stats import ttest_1samp

from training.seed_intervals import seed_intervals, select_nonzero

VALUES = np.random.default_rng(3).normal(0.4, 1.0, size=(6, 2, 3))


def test_agrees_with_a_student_test():
    found = seed_intervals(VALUES, level=0.9)
    expected = ttest_1samp(VALUES, 0.0, axis=0)
    np.testing.assert_allclose(found.mean, VALUES.mean(axis=0))
    np.testing.assert_allclose(found.p_value, expected.pvalue)
    interval = expected.confidence_interval(0.9)
    np.testing.assert_allclose(found.low, interval.low)
    np.testing.assert_allclose(found.high, interval.high)


def test_a_value_worked_by_hand():
    # mean 2, sd 1, error 1 / sqrt(3), t(0.975, 2) = 4.302653
    found = seed_intervals(np.array([1.0, 2.0, 3.0]), level=0.95)
    assert found.low == pytest.approx(2 - 4.302653 / 3**0.5, abs=1e-6)
    assert found.high == pytest.approx(2 + 4.302653 / 3**0.5, abs=1e-6)


def test_two_seeds_have_a_mean_and_no_interval():
    found = seed_intervals(VALUES[:2], level=0.95)
    np.testing.assert_allclose(found.mean, VALUES[:2].mean(axis=0))
    assert np.isnan([found.low, found.high, found.p_value]).all()


def test_seeds_that_agree_exactly_are_certain_and_missing_ones_unknown():
    found = seed_intervals(np.array([[2.0, 0.0, np.nan]] * 4), level=0.95)
    np.testing.assert_array_equal(found.p_value, [0.0, 1.0, np.nan])


@pytest.mark.parametrize(("values", "level"), [(VALUES[:0], 0.95), (VALUES, 0.0), (VALUES, 1.0)])
def test_refuses(values, level):
    with pytest.raises(ValueError, match="at least one seed and 0 < level < 1"):
        seed_intervals(values, level=level)


def test_selection_by_hand():
    # limits 0.01, 0.02, 0.03, 0.04, 0.05: the third p value passes, and so the two before it
    p_values = np.array([0.029, 0.045, 0.011, 0.025, np.nan, 0.9])
    np.testing.assert_array_equal(
        select_nonzero(p_values, level=0.95), [True, False, True, True, False, False]
    )
    assert not select_nonzero(np.array([0.2, np.nan]), level=0.95).any()
    assert not select_nonzero(np.array([np.nan]), level=0.95).any()


def test_selection_bounds_the_share_of_false_finds():
    shares = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(5, 40))
        values[:, :10] += 4
        found = select_nonzero(seed_intervals(values, level=0.9).p_value, level=0.9)
        shares.append(found[10:].sum() / max(found.sum(), 1))
    assert 0.03 < np.mean(shares) < 0.1

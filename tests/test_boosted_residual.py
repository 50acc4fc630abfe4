import numpy as np
import pytest

from training.mixing_laws import LAWS

FAMILY = LAWS["boosted_residual"]
DOMAINS = ("web", "code", "math")
WEIGHTS = np.random.default_rng(0).dirichlet(np.full(3, 0.7), size=80)
SMOOTH = 2 + np.exp(WEIGHTS @ np.array([0.1, -1.5, 0.4]))
FRESH = np.random.default_rng(1).dirichlet(np.full(3, 0.7), size=200)
FRESH_SMOOTH = 2 + np.exp(FRESH @ np.array([0.1, -1.5, 0.4]))


def test_where_the_base_is_the_truth_the_trees_keep_out_of_the_way():
    losses = SMOOTH + np.random.default_rng(2).normal(0, 0.01, 80)
    law, base = FAMILY(WEIGHTS, losses), LAWS["log_linear"](WEIGHTS, losses)
    np.testing.assert_allclose(law.base.predict(FRESH), base.predict(FRESH), atol=1e-9)
    mine, theirs = (np.abs(one.predict(FRESH) - FRESH_SMOOTH).mean() for one in (law, base))
    assert mine < theirs + 0.002
    if not len(law.trees.value):
        np.testing.assert_allclose(law.predict(FRESH), base.predict(FRESH), atol=1e-12)


def test_where_the_base_is_wrong_the_trees_correct_it():
    losses = SMOOTH + 0.3 * (WEIGHTS[:, 0] > 0.4)
    truth = FRESH_SMOOTH + 0.3 * (FRESH[:, 0] > 0.4)
    law, base = FAMILY(WEIGHTS, losses), LAWS["log_linear"](WEIGHTS, losses)
    mine, theirs = (np.abs(one.predict(FRESH) - truth).mean() for one in (law, base))
    assert mine < 0.6 * theirs
    assert law.describe(DOMAINS).endswith(f"+ {len(law.trees.value)} trees")
    back = FAMILY.from_json(law.to_json(DOMAINS), DOMAINS)
    np.testing.assert_array_equal(back.predict(FRESH), law.predict(FRESH))


def test_too_few_runs_are_refused():
    assert FAMILY.min_runs(3) == 20
    assert FAMILY.min_runs(20) == 31  # three quarters of them are more than the 22 of the base
    assert not FAMILY.convex
    with pytest.raises(ValueError, match="more than 19 runs, got 19"):
        FAMILY(WEIGHTS[:19], SMOOTH[:19])

import numpy as np
import pytest

from training.mixing_laws.boosted_trees import (
    BoostedTreesLaw,
    min_runs,
    most_asked,
    refit_boosted_trees,
)

DOMAINS = ("web", "code", "math")
WEIGHTS = np.random.default_rng(0).dirichlet(np.full(3, 0.7), size=100)
LOSSES = 3 - 0.8 * np.sqrt(WEIGHTS[:, 1]) + 0.2 * (WEIGHTS[:, 0] > 0.5)


def test_learns_what_no_smooth_law_can():
    (law,) = refit_boosted_trees(WEIGHTS, LOSSES, np.ones((1, 100)))
    fresh = np.random.default_rng(1).dirichlet(np.full(3, 0.7), size=200)
    truth = 3 - 0.8 * np.sqrt(fresh[:, 1]) + 0.2 * (fresh[:, 0] > 0.5)
    assert np.abs(law.predict(fresh) - truth).mean() < 0.25 * np.abs(truth - LOSSES.mean()).mean()
    assert "trees; splits on" in law.describe(DOMAINS)
    back = BoostedTreesLaw.from_json(law.to_json(DOMAINS), DOMAINS)
    np.testing.assert_array_equal(back.predict(fresh), law.predict(fresh))


def test_a_left_out_run_has_no_say():
    counts = np.ones((2, 100))
    counts[1, 7] = 0
    spoiled = LOSSES.copy()
    spoiled[7] += 5
    (clean,) = refit_boosted_trees(WEIGHTS, LOSSES, counts[1:])
    (law,) = refit_boosted_trees(WEIGHTS, spoiled, counts[1:])
    np.testing.assert_array_equal(law.predict(WEIGHTS), clean.predict(WEIGHTS))


def test_splits_are_counted_by_domain():
    law = BoostedTreesLaw.from_json(
        {
            "features": list(DOMAINS),
            "offset": 3.0,
            "trees": [{"feature": [1, 0, 0], "threshold": [0.5, 0, 0], "left": [1, 1, 2],
                       "right": [2, 1, 2], "value": [0, 0.1, -0.1]}],
        },
        DOMAINS,
    )  # fmt: skip
    assert most_asked(law.trees, DOMAINS, how_many=1) == "splits on code 100%"


def test_too_few_runs_are_refused():
    assert (min_runs(3), min_runs(30)) == (20, 32)
    with pytest.raises(ValueError, match="more than 19 runs, got 19"):
        refit_boosted_trees(WEIGHTS[:19], LOSSES[:19], np.ones((1, 19)))

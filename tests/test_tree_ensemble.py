import json

import numpy as np
import pytest

from training.tree_ensemble import (
    MAX_TREES,
    SETTINGS,
    TreeEnsemble,
    choose_num_trees,
    grow_trees,
    inner_folds,
)

RNG = np.random.default_rng(0)
FEATURES = RNG.dirichlet(np.ones(3), size=120)
TARGETS = np.where(FEATURES[:, 0] > 0.3, 2.0, 3.0) + 0.5 * FEATURES[:, 1]
ONES = np.ones(120)
HAND = {
    "features": ["a", "b"],
    "offset": 1.0,
    "trees": [
        {"feature": [1, 0, 0], "threshold": [0.5, 0, 0], "left": [1, 1, 2], "right": [2, 1, 2],
         "value": [0, 10.0, 20.0]},
        {"feature": [0], "threshold": [0], "left": [0], "right": [0], "value": [100.0]},
    ],
}  # fmt: skip


def test_two_trees_worked_by_hand():
    trees = TreeEnsemble.from_json(HAND, ("a", "b"))
    np.testing.assert_array_equal(trees.predict(np.array([[9, 0.5], [9, 0.6]])), [111.0, 121.0])
    swapped = TreeEnsemble.from_json(HAND, ("b", "a"))
    np.testing.assert_array_equal(swapped.predict(np.array([[0.5, 9], [0.6, 9]])), [111.0, 121.0])
    assert trees.predict(np.zeros((0, 2))).shape == (0,)
    assert trees.to_json(("a", "b")) == HAND


def test_prediction_is_that_of_lightgbm():
    import lightgbm

    trees = grow_trees(FEATURES, TARGETS, ONES, num_trees=40)
    data = lightgbm.Dataset(FEATURES, TARGETS - TARGETS.mean(), weight=ONES)
    peer = lightgbm.train(dict(SETTINGS), data, num_boost_round=40)
    fresh = RNG.dirichlet(np.ones(3), size=50)
    np.testing.assert_allclose(
        trees.predict(fresh), peer.predict(fresh) + TARGETS.mean(), atol=1e-12
    )


def test_json_keeps_every_bit():
    trees = grow_trees(FEATURES, TARGETS, ONES, num_trees=15)
    back = TreeEnsemble.from_json(json.loads(json.dumps(trees.to_json("xyz"))), "xyz")
    np.testing.assert_array_equal(back.predict(FEATURES), trees.predict(FEATURES))


def test_runs_that_do_not_count_are_not_seen():
    counts = ONES.copy()
    counts[:60] = 0
    spoiled = TARGETS.copy()
    spoiled[:60] = 99.0
    first, second = (grow_trees(FEATURES, y, counts, num_trees=5) for y in (TARGETS, spoiled))
    np.testing.assert_array_equal(first.predict(FEATURES), second.predict(FEATURES))


def test_no_tree_is_the_weighted_mean():
    counts = ONES.copy()
    counts[0] = 3
    trees = grow_trees(FEATURES, TARGETS, counts, num_trees=0)
    np.testing.assert_allclose(trees.predict(FEATURES), np.average(TARGETS, weights=counts))


def test_number_of_trees_is_small_for_noise_and_large_for_structure():
    noise = np.random.default_rng(1).normal(size=120)
    assert choose_num_trees(FEATURES, noise, ONES) < 30
    assert 100 < choose_num_trees(FEATURES, TARGETS, ONES) <= MAX_TREES


def test_residuals_of_the_left_out_decide_where_they_are_given():
    # In the sample nothing is left; on left-out runs the structure is there.
    flat = np.zeros(120)
    left_out = np.repeat(TARGETS[:, None], 4, axis=1)
    assert choose_num_trees(FEATURES, flat, ONES, left_out=left_out) > 100


def test_inner_folds_keep_repeats_together_and_leave_others_out():
    twice = np.vstack([FEATURES[:10], FEATURES[:10]])
    counts = np.ones(20)
    counts[3] = 0
    folds = inner_folds(twice, counts)
    assert folds[3] == -1
    assert (np.delete(folds, [3, 13])[:9] == np.delete(folds, [3, 13])[9:]).all()
    assert set(folds[counts > 0]) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    "change",
    [
        {"left": [0, 1, 2]},  # a root that leads to itself on one side only: never ends
        {"right": [9, 1, 2]},
        {"feature": [2, 0, 0]},
        {"value": [0.0]},
    ],
)
def test_what_is_no_tree_is_refused(change):
    broken = {**HAND, "trees": [{**HAND["trees"][0], **change}]}
    with pytest.raises(ValueError, match="tree 0 is no tree"):
        TreeEnsemble.from_json(broken, ("a", "b"))


def test_foreign_features_are_refused():
    with pytest.raises(ValueError, match="wanted"):
        TreeEnsemble.from_json(HAND, ("a", "c"))

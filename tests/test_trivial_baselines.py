import numpy as np

from training.trivial_baselines import (
    Fold,
    predict_entropy,
    predict_linear,
    predict_mean,
    predict_nearest_run,
    predict_own_share,
)

FOLD = Fold(
    weights=np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]),
    losses=np.array([[2.0, 7.0], [3.0, 8.0], [4.0, 9.0]]),
    heldout_weights=np.array([[0.75, 0.25], [0.1, 0.9]]),
    own_columns=(0, None),
)


def test_values_worked_by_hand():
    np.testing.assert_allclose(predict_mean(FOLD), [[3.0, 8.0], [3.0, 8.0]])
    np.testing.assert_allclose(predict_linear(FOLD), [[2.5, 7.5], [3.8, 8.8]])
    np.testing.assert_allclose(predict_nearest_run(FOLD), [[2.0, 7.0], [4.0, 9.0]])
    own = predict_own_share(FOLD)
    np.testing.assert_allclose(own[:, 0], [2.5, 3.8])
    assert np.isnan(own[:, 1]).all()


def test_entropy_line_gives_equal_predictions_to_mirrored_mixtures():
    # Both ends have entropy 0 and mean losses 3 and 8; the middle lies on the line too.
    np.testing.assert_allclose(predict_entropy(FOLD), [[3.0, 8.0], [3.0, 8.0]], atol=1e-12)

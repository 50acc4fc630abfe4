import numpy as np
import pytest

from training.arrays import require_simplex


@pytest.mark.parametrize("weights", [[1.0], [0.25, 0.75], [[0.5, 0.5], [1.0, 0.0]]])
def test_a_mixture_passes(weights):
    require_simplex(np.array(weights))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.5, 0.4], "shares must sum to 1, got the sum 0.9"),
        ([[0.5, 0.5], [0.5, 0.6]], "sum to 1"),
        ([1.5, -0.5], "not negative"),
        ([np.nan, 1.0], "finite"),
        ([], "entries"),
        ([[[1.0]]], "shape"),
    ],
)
def test_refuses(weights, message):
    with pytest.raises(ValueError, match=message):
        require_simplex(np.array(weights), name="shares")

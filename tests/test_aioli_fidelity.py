import numpy as np
import pytest

from training.mixers.aioli_fidelity import fidelity, predict_drops


def test_predicts_one_probe_for_each_of_its_rows():
    matrix = np.array([[0.3, 0.1], [0.0, 0.2]])
    # 40 rows of the first domain and 20 of the second, 8 rows a probe: 5 and 2.5 probes.
    found = predict_drops(matrix, np.array([40, 20]), 8)
    np.testing.assert_allclose(found, [5 * 0.3 + 2.5 * 0.1, 2.5 * 0.2])


@pytest.mark.parametrize(
    ("observed", "expected"),
    [([6, 8], 1), ([-3, -4], -1), ([4, -3], 0), ([3, 0], 0.6), ([0, 0], 0)],
)
def test_fidelity_is_the_cosine(observed, expected):
    assert fidelity(np.array([3.0, 4.0]), np.array(observed, dtype=float)) == pytest.approx(
        expected
    )
    assert fidelity(np.zeros(2), np.array(observed, dtype=float)) == 0

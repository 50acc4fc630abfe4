import numpy as np
import pytest

from training.mixers.aioli_fidelity import fidelity, fidelity_verdict, predict_drops


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


@pytest.mark.parametrize(
    ("compared", "unfaithful", "passed", "told"),
    [
        (5, 0, True, "5 rounds went as"),
        (5, 2, False, "did not predict 2 of 5 rounds"),
        (0, 0, False, "no prediction could be tested"),
    ],
)
def test_verdict(compared, unfaithful, passed, told):
    found = fidelity_verdict(compared, unfaithful, 0.5)
    assert found.passed == passed
    assert found.observed == (unfaithful if compared else None)
    assert told in found.told
    assert "0.5" in found.limit

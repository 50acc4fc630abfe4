import numpy as np
import pytest

from training.fitted_laws import fit_laws
from training.recalibration import left_out_offset_error, recalibrate, recalibrate_laws
from training.run_table import RunTable


def test_one_run_gives_the_offset_and_no_error():
    one = recalibrate(np.array([3.0]), np.array([2.5]))
    assert (one.offset_nats, one.slope, one.left_out_error_nats) == (-0.5, 1.0, None)
    assert one.apply(np.array([3.2])) == pytest.approx([2.7])


def test_left_out_error_worked_by_hand():
    # Residuals 0, 1, 5: the others' means are 3, 2.5, 0.5.
    assert left_out_offset_error(np.zeros(3), np.array([0.0, 1, 5])) == pytest.approx(
        (3 + 1.5 + 4.5) / 3
    )
    assert left_out_offset_error(np.zeros(1), np.ones(1)) is None


def test_slope_is_used_only_where_it_helps_on_runs_left_out():
    predicted = np.array([2.0, 2.2, 2.6, 3.0, 3.3])
    line = recalibrate(predicted, 0.5 + 0.4 * predicted)
    assert (line.offset_nats, line.slope) == (pytest.approx(0.5), pytest.approx(0.4))
    assert line.left_out_error_nats == pytest.approx(0, abs=1e-12)
    shifted = recalibrate(predicted, predicted - 1)
    assert shifted.slope == pytest.approx(1.0)
    turned = recalibrate(predicted, 5 - predicted)
    assert turned.slope == 1.0  # a falling line would turn the ranking round
    assert recalibrate(predicted[:3], 0.4 * predicted[:3]).slope == 1.0  # too few


def test_laws_are_corrected_by_name():
    weights = np.random.default_rng(0).dirichlet(np.ones(3), size=12)
    losses = 2 + np.exp(weights @ np.array([[-0.9, 0.2, 0.6], [0.4, -0.8, 0.3]]).T)

    def table(columns, targets, values):
        return RunTable(
            run_ids=tuple(map(str, range(12))),
            domains=tuple("abc"[one] for one in columns),
            eval_domains=tuple("xy"[one] for one in targets),
            weights=weights[:, columns],
            losses=values[:, targets],
        )

    laws = fit_laws(table([0, 1, 2], [0, 1], losses))
    target = table([2, 0, 1], [1, 0], np.column_stack([losses[:, 0] - 1, 0.5 * losses[:, 1]]))
    corrected = recalibrate_laws(laws, target)
    expected = np.column_stack([losses[:, 0] - 1, 0.5 * losses[:, 1]])
    np.testing.assert_allclose(corrected.predict(weights), expected, atol=1e-5)
    assert corrected.to_json()["y"]["slope"] == pytest.approx(0.5, abs=1e-5)
    with pytest.raises(ValueError, match="the laws know"):
        recalibrate_laws(laws, table([0, 1], [0, 1], losses))


def test_rejects():
    with pytest.raises(ValueError, match="K >= 1"):
        recalibrate(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="finite"):
        recalibrate(np.array([np.nan]), np.ones(1))

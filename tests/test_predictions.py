import json

import numpy as np
import pytest

from training.fitted_laws import FittedLaws
from training.mixing_laws.log_linear import LogLinearLaw
from training.predictions import compare_predictions
from training.run_table import RunTable

LAWS = FittedLaws(
    method="log_linear",
    domains=("web", "code"),
    eval_domains=("web", "code"),
    laws=(
        LogLinearLaw(irreducible_loss=1.0, sensitivities=np.array([-1.0, 0.5])),
        LogLinearLaw(irreducible_loss=2.0, sensitivities=np.array([0.3, -0.6])),
    ),
)
WEIGHTS = np.array([[0.8, 0.2], [0.5, 0.5], [0.1, 0.9], [0.3, 0.7]])


def table(losses, weights=WEIGHTS, **changes):
    fields = {
        "run_ids": tuple(f"run-{number}" for number in range(len(weights))),
        "domains": ("web", "code"),
        "eval_domains": ("web", "code"),
        **changes,
    }
    return RunTable(weights=weights, losses=losses, **fields)


def test_a_common_offset_costs_level_not_rank_and_recalibration_removes_it():
    report = compare_predictions(LAWS, table(LAWS.predict(WEIGHTS) - 0.7))
    for scores in (*report.per_domain.values(), report.average):
        assert scores.spearman == pytest.approx(1.0)
        assert scores.level_error_nats == pytest.approx(0.7)
        assert scores.offset_nats == pytest.approx(-0.7)
        assert scores.recalibrated_error_nats == pytest.approx(0.0, abs=1e-12)


def test_no_run_helps_to_correct_itself():
    shift = np.array([0.0, 0.0, 0.0, 0.4])
    report = compare_predictions(LAWS, table(LAWS.predict(WEIGHTS) + shift[:, None]))
    # By hand: the last run is corrected by 0, the others by 0.4 / 3 each.
    expected = (0.4 + 3 * 0.4 / 3) / 4
    assert report.per_domain["web"].recalibrated_error_nats == pytest.approx(expected)
    assert report.per_domain["web"].level_error_nats == pytest.approx(0.1)


def test_columns_are_matched_by_name():
    losses = LAWS.predict(WEIGHTS)
    turned = table(
        losses[:, ::-1],
        weights=WEIGHTS[:, ::-1],
        domains=("code", "web"),
        eval_domains=("code", "web"),
    )
    report = compare_predictions(LAWS, turned)
    assert report.average.level_error_nats == pytest.approx(0.0, abs=1e-12)
    row = report.rows[1]
    assert (row.run_id, row.eval_domain) == ("run-0", "code")
    assert row.actual_nats == losses[0, 1]


def test_too_few_runs_give_none_not_a_number():
    losses = LAWS.predict(WEIGHTS) + 0.1
    two = compare_predictions(LAWS, table(losses[:2], WEIGHTS[:2])).average
    assert two.spearman is None
    assert two.recalibrated_error_nats == pytest.approx(0.0, abs=1e-12)
    one = compare_predictions(LAWS, table(losses[:1], WEIGHTS[:1])).average
    assert one.recalibrated_error_nats is None
    assert one.level_error_nats == pytest.approx(0.1)


def test_report_is_json():
    report = compare_predictions(LAWS, table(np.full((4, 2), 3.0)))
    record = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert record["average"]["spearman"] is None
    assert len(record["rows"]) == 8


def test_rejects():
    with pytest.raises(ValueError, match="no runs"):
        compare_predictions(LAWS, table(np.empty((0, 2)), np.empty((0, 2))))
    with pytest.raises(ValueError, match="eval_domains of the runs"):
        compare_predictions(LAWS, table(np.ones((4, 2)), eval_domains=("web", "po")))
    with pytest.raises(ValueError, match="domains of the runs"):
        compare_predictions(LAWS, table(np.ones((4, 2)), domains=("web", "po")))

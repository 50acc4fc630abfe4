import dataclasses

import numpy as np
import pytest

from training.fitted_laws import FittedLaws
from training.given_scores import score_given
from training.law_record import LawRecord
from training.mixing_laws.linear import LinearLaw
from training.run_table import RunTable

WEIGHTS = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])


def given(losses, domains=("web", "code")):
    return RunTable(
        run_ids=("a", "b", "c"),
        domains=domains,
        eval_domains=("web",),
        weights=WEIGHTS,
        losses=np.array(losses)[:, None],
    )


LAW = LinearLaw(corner_losses=np.array([2.0, 4.0]))  # says 2, 3, 4
RECORD = LawRecord(
    laws=FittedLaws(method="linear", domains=("web", "code"), eval_domains=("web",), laws=(LAW,)),
    table=given([2.0, 3.0, 4.0]),
    half_widths_nats={"web": 0.25},
)


def test_worked_by_hand():
    score = score_given(RECORD, given([2.2, 2.0, 4.4]))["web"]
    assert score.spearman == pytest.approx(0.5)
    assert score.mae_nats == pytest.approx((0.2 + 1.0 + 0.4) / 3)
    assert score.mse_nats2 == pytest.approx((0.04 + 1.0 + 0.16) / 3)
    assert (score.pick, score.pick_rank) == ("a", 2)
    assert score.regret_nats == pytest.approx(0.2)
    assert score.coverage == pytest.approx(1 / 3)
    assert score.to_json()["pick"] == "a"


def test_constant_losses_have_no_rank():
    assert score_given(RECORD, given([3.0, 3.0, 3.0]))["web"].spearman is None


def test_other_domains_are_refused():
    with pytest.raises(ValueError, match="the laws know"):
        score_given(RECORD, given([2.0, 3.0, 4.0], domains=("web", "math")))
    assert dataclasses.asdict(RECORD)["level"] == 0.9

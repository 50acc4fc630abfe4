from dataclasses import replace

import numpy as np
import pytest

from training.fitted_laws import FittedLaws
from training.mixing_laws.linear import LinearLaw
from training.run_table import RunTable
from training.scale_transfer import (
    TransferGateConfig,
    choose_spread_rows,
    judge_transfer,
    measure_scale_transfer,
)

SLOPES = np.array([[3.0, 4.0, 5.0], [5.0, 4.5, 2.0]])
SMALL_WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(3), size=16)
ROWS = np.arange(6)


def table(weights, losses, label):
    return RunTable(
        run_ids=tuple(f"{label}{number}" for number in range(len(weights))),
        domains=("a", "b", "c"),
        eval_domains=("x", "y"),
        weights=weights,
        losses=losses,
    )


LAWS = FittedLaws(
    method="linear",
    domains=("a", "b", "c"),
    eval_domains=("x", "y"),
    laws=tuple(LinearLaw(corner_losses=row) for row in SLOPES),
)
SMALL = table(SMALL_WEIGHTS, SMALL_WEIGHTS @ SLOPES.T, "s")


def measure(change):
    """Large runs on the first mixtures, whose losses are a function of the small ones."""
    large = table(SMALL_WEIGHTS[ROWS], change(SMALL.losses[ROWS]), "l")
    return measure_scale_transfer(LAWS, SMALL, large, realised=large.weights)


def test_the_farthest_mixtures_are_chosen_and_the_first_one_leads():
    weights = np.array([[0.4, 0.3, 0.3], [0.4, 0.31, 0.29], [1.0, 0, 0], [0.9, 0.1, 0], [0, 0, 1]])
    assert choose_spread_rows(weights, 3).tolist() == [0, 4, 2]
    assert sorted(choose_spread_rows(weights, 5).tolist()) == [0, 1, 2, 3, 4]
    repeats = np.array([[1.0, 0], [1.0, 0], [0, 1.0]])
    assert choose_spread_rows(repeats, 3).tolist() == [0, 2, 1]


@pytest.mark.parametrize("count", [0, 6])
def test_the_choice_refuses_more_than_there_are(count):
    with pytest.raises(ValueError, match=f"choose 1 to 5 of 5 mixtures, got {count}"):
        choose_spread_rows(np.full((5, 2), 0.5), count)


def test_a_constant_shift_is_all_level_and_one_run_corrects_it():
    found = measure(lambda losses: losses - 0.5)
    assert found.runs.average.rank.value == pytest.approx(1)
    assert found.law.average.rank.value == pytest.approx(1)
    for one in (*found.level.values(), found.average_level):
        assert one.before_nats == pytest.approx(0.5)
        assert one.after_nats == pytest.approx(0, abs=1e-12)
        assert (one.offset_nats, one.slope) == (pytest.approx(-0.5), pytest.approx(1))
    np.testing.assert_allclose(found.left_after, np.zeros(5), atol=1e-12)
    np.testing.assert_allclose(np.subtract(found.actual_nats, found.predicted_nats), -0.5)
    assert judge_transfer(found).passed


def test_a_slope_needs_four_runs():
    found = measure(lambda losses: 1 + 0.25 * losses)
    assert found.level["x"].slope == pytest.approx(0.25)
    assert found.left_after[2] > 0.01 > found.left_after[3]


def test_a_ranking_that_turns_round_fails_both_rows_of_the_gate():
    found = measure(lambda losses: 9 - losses)
    assert found.runs.average.rank.value == pytest.approx(-1)
    verdict = judge_transfer(found)
    assert [row.passed for row in verdict.rows] == [False, False]
    lenient = TransferGateConfig(min_spearman=-1, min_lower_bound=-1)
    assert judge_transfer(found, lenient).passed


def test_a_rank_within_noise_fails_by_its_lower_end():
    noise = np.array([0.0, 0.9, -0.9, 0.3, -0.2, 0.1])
    found = measure(lambda losses: losses + noise[:, None])
    verdict = judge_transfer(found, TransferGateConfig(min_spearman=-1.0, min_lower_bound=0.9))
    assert [row.passed for row in verdict.rows] == [True, False]


def test_a_constant_scale_has_no_rank_and_fails():
    assert not judge_transfer(measure(lambda losses: np.full_like(losses, 3.0))).passed


def test_what_is_measured_goes_to_a_file_as_plain_values():
    content = measure(lambda losses: losses + 1).to_json()
    assert content["runs"]["average"]["rank"]["value"] == pytest.approx(1)
    assert set(content["level"]) == {"x", "y"}


def test_rejects_realised_shares_of_another_shape():
    large = table(SMALL_WEIGHTS[ROWS], SMALL.losses[ROWS], "l")
    with pytest.raises(ValueError, match=r"realised shares must have shape \(6, 3\), got \(6, 2\)"):
        measure_scale_transfer(LAWS, SMALL, large, realised=large.weights[:, :2])
    few = replace(
        large, run_ids=large.run_ids[:3], weights=large.weights[:3], losses=large.losses[:3]
    )
    with pytest.raises(ValueError, match="needs 4 mixtures at both scales, got 3"):
        measure_scale_transfer(LAWS, SMALL, few, realised=few.weights)

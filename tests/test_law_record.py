import dataclasses
import json

import numpy as np
import pytest

from training.fitted_laws import fit_laws
from training.law_fitting import fit_with_evidence, law_key
from training.law_record import LawRecord, heldout_half_width, read_law_record
from training.run_table import RunTable

DOMAINS = ("web", "code", "math")
WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(3), size=20)
SLOPES = np.array([[-0.9, 0.2, 0.6], [0.4, -0.8, 0.3]])


def table(rows=slice(None), noise=0.01):
    losses = 1.5 + np.exp(WEIGHTS @ SLOPES.T)
    losses = losses + np.random.default_rng(1).normal(0, noise, losses.shape)
    return RunTable(
        run_ids=tuple(f"r{number:02d}" for number in range(20))[rows],
        domains=DOMAINS,
        eval_domains=("code", "forum"),
        weights=WEIGHTS[rows],
        losses=losses[rows],
    )


@pytest.fixture(scope="module")
def fit():
    heard = []
    found = fit_with_evidence(
        table(), num_refits=25, notes=("rounded",), report=lambda *said: heard.append(said)
    )
    assert heard[0] == ("held-out folds", 0, 0)
    assert heard[-1] == ("refits on drawn runs", 25, 25)
    return found


def test_everything_is_in_the_record(fit):
    record = fit.record
    assert record.table.run_ids == table().run_ids
    assert len(record.refits) == 25
    assert record.gate["passed"] == fit.verdict.passed
    assert record.evidence["num_folds"] == 20
    assert record.notes == ("rounded",)
    np.testing.assert_allclose(
        record.laws.predict(WEIGHTS), fit_laws(table()).predict(WEIGHTS), atol=1e-9
    )


def test_intervals_of_a_run_are_wider_and_those_of_the_mean_hold_the_truth(fit):
    truth = 1.5 + np.exp(WEIGHTS @ SLOPES.T)
    low, high = fit.record.intervals(WEIGHTS)
    assert ((low <= truth) & (truth <= high)).mean() > 0.7
    run_low, run_high = fit.record.intervals(WEIGHTS, of_run=True)
    assert (run_high - run_low).mean() > (high - low).mean()
    losses = table().losses
    assert ((run_low <= losses) & (losses <= run_high)).mean() >= 0.9


def test_the_file_says_the_same(fit, tmp_path):
    path = tmp_path / "law.json"
    path.write_text(json.dumps(fit.record.to_json(), allow_nan=False))
    back = read_law_record(path)
    for ours, theirs in zip(back.intervals(WEIGHTS), fit.record.intervals(WEIGHTS), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(back.laws.predict(WEIGHTS), fit.record.laws.predict(WEIGHTS))
    assert back.half_widths_nats == fit.record.half_widths_nats
    assert back.columns == fit.record.columns


def test_hull_distances_of_queries(fit):
    near, far = fit.record.hull_distances(np.array([WEIGHTS.mean(axis=0), [0.0, 0.0, 1.0]]))
    assert near == pytest.approx(0, abs=1e-9)
    assert far > 0.01


def test_a_large_law_takes_its_intervals_from_left_out_runs():
    found = fit_with_evidence(table(), method="gaussian_process")
    assert found.record.refits == ()
    low, high = found.record.intervals(WEIGHTS)
    residuals = np.abs(found.evidence.predicted - table().losses)
    half = [np.sort(column)[18] for column in residuals.T]  # ceil(21 * .9) = 19th
    np.testing.assert_allclose((high - low) / 2, np.tile(half, (20, 1)))


def test_half_width_worked_by_hand():
    assert heldout_half_width(np.arange(1.0, 20.0), level=0.9) == 18.0
    assert heldout_half_width(np.array([3.0, 1.0]), level=0.9) == 3.0


def test_repeats_that_show_a_trend_of_noise_count_runs_apart():
    rng = np.random.default_rng(5)
    mixtures = np.vstack([np.eye(3), rng.dirichlet(np.full(3, 8.0), size=7)])
    weights = np.repeat(mixtures, 3, axis=0)
    spread = np.where(weights.max(axis=1) == 1, 0.041, 0.0016)
    losses = 1.5 + np.exp(weights @ SLOPES.T) + rng.normal(size=(30, 2)) * spread[:, None]
    runs = RunTable(
        run_ids=tuple(map(str, range(30))),
        domains=DOMAINS,
        eval_domains=("code", "forum"),
        weights=weights,
        losses=losses,
    )
    found = fit_with_evidence(runs, num_refits=5)
    assert "repeats show more noise at concentrated mixtures" in found.record.notes[-1]
    inside = rng.dirichlet(np.full(3, 8.0), size=50)
    truth = 1.5 + np.exp(inside @ SLOPES.T)
    weighted = np.abs(found.record.laws.predict(inside) - truth).mean()
    assert weighted < np.abs(fit_laws(runs).predict(inside) - truth).mean()


def test_names_on_the_command_line():
    assert law_key("log-linear") == law_key("Log_Linear") == "log_linear"
    assert law_key("auto") == "auto"
    assert law_key("Auto: log-linear,soft-minimum") == "auto:log_linear,soft_minimum"
    with pytest.raises(ValueError, match="unknown law 'cubic'"):
        law_key("auto:linear,cubic")
    with pytest.raises(ValueError, match=r"unknown law 'cubic': choose auto, .*log-linear"):
        law_key("cubic")


def test_too_few_runs_say_how_many_are_needed():
    with pytest.raises(ValueError, match=r"over 3 domains.*needs 6 runs, got 5"):
        fit_with_evidence(table(slice(5)))


def test_broken_files_are_refused_with_their_field(fit, tmp_path):
    path = tmp_path / "law.json"
    with pytest.raises(ValueError, match="no such file"):
        read_law_record(path)
    path.write_text("{")
    with pytest.raises(ValueError, match="no JSON"):
        read_law_record(path)
    good = fit.record.to_json()
    path.write_text(json.dumps({**good, "format": 2}))
    with pytest.raises(ValueError, match="not a law file: format"):
        read_law_record(path)
    short = {**good["runs"], "run_ids": ["r00"]}
    path.write_text(json.dumps({**good, "runs": short}))
    with pytest.raises(ValueError, match=r"runs.weights must have shape \(1, 3\)"):
        read_law_record(path)
    bare = dataclasses.replace(fit.record, half_widths_nats={}).to_json()
    with pytest.raises(ValueError, match="no half widths of"):
        LawRecord.from_json(bare)

"""Laws in mixture, size and length: evidence, record, and the commands that use them."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from orchestration.cli import app
from training.fitted_laws import SLICE
from training.joint_evidence import gather_joint_evidence
from training.joint_fitting import fit_joint_with_evidence, predict_at_scales
from training.joint_laws import JointTable, bootstrap_joint, fit_joint
from training.joint_record import JointRecord, ScaleColumns, read_any_law, read_law_at
from training.mixing_laws.scaled_laws import ScaledLaw
from training.run_table import RunTable

DOMAINS = ("web", "code", "math")
TRUTHS = [
    ScaledLaw(
        form="log_linear",
        limit=1.5,
        exponents=(0.3, 0.35),
        references=(2e8, 1e10),
        amplitudes=(1.0, 1.0),
        sensitivities=np.array(rows),
    )
    for rows in ([[-1.6, -0.5, -0.1], [-0.3, -1.5, -0.4]], [[-0.2, -1.7, -0.6], [-0.5, -0.4, -1.1]])
]
SIZES = [(n, d) for n in (7e7, 1.6e8, 4e8) for d in (5e9, 2e10)]


def make_table(num_mixtures=9, noise=0.003):
    rng = np.random.default_rng(0)
    weights = np.repeat(rng.dirichlet(np.ones(3), num_mixtures), len(SIZES), axis=0)
    sizes = np.array(SIZES * num_mixtures)
    losses = np.column_stack([law.predict(weights, *sizes.T) for law in TRUTHS])
    runs = RunTable(
        run_ids=tuple(f"r{number}" for number in range(len(weights))),
        domains=DOMAINS,
        eval_domains=("web", "code"),
        weights=weights,
        losses=losses + rng.normal(0, noise, losses.shape),
    )
    return JointTable(runs=runs, params=sizes[:, 0], tokens=sizes[:, 1])


TABLE = make_table()


@pytest.fixture(scope="module")
def fit():
    return fit_joint_with_evidence(TABLE, method="joint_log_linear", num_folds=3, num_refits=20)


def test_mixtures_and_the_largest_scale_are_predicted_without_having_been_seen(fit):
    evidence = fit.evidence
    assert evidence.num_folds == 3
    assert evidence.scale_held_out == "runs of 4e+08 parameters"
    for scores, count in ((evidence.mixtures, 54), (evidence.scale, 18)):
        one = scores["average"]
        assert one.num_runs == count
        assert one.mae_nats < 0.01
        assert one.scale_only_mae_nats > 0.03
        assert one.difference_nats.high < 0
        assert one.spearman > 0.95
    assert fit.verdict.passed
    assert len(fit.verdict.rows) == 4


def test_losses_that_do_not_depend_on_the_mixture_fail_the_gate():
    flat = make_table(num_mixtures=6, noise=0.0)
    scale = 1 + (flat.params / 1e8) ** -0.3 + (flat.tokens / 1e10) ** -0.3
    noise = np.random.default_rng(5).normal(0, 0.02, flat.runs.losses.shape)
    runs = RunTable(
        run_ids=flat.runs.run_ids,
        domains=DOMAINS,
        eval_domains=("web", "code"),
        weights=flat.runs.weights,
        losses=scale[:, None] + noise,
    )
    table = JointTable(runs=runs, params=flat.params, tokens=flat.tokens)
    found = fit_joint_with_evidence(table, method="joint_additive", num_folds=2, num_refits=1)
    assert not found.verdict.passed


def test_without_enough_smaller_runs_the_largest_scale_stays_in():
    table = TABLE.take(np.flatnonzero(TABLE.params <= 1.6e8)[:20])
    evidence, _ = gather_joint_evidence(table, method="joint_additive", num_folds=2)
    assert evidence.scale == {}
    assert evidence.scale_held_out.startswith("none: without runs of 2e+10 tokens tokens is 5000")


def test_refits_draw_whole_mixtures_and_a_larger_scale_is_predicted(fit):
    record = fit.record
    weights, sizes = TABLE.runs.weights[:2], np.array([[1e9, 1e11], [7e7, 5e9]])
    middle, low, high = predict_at_scales(record, weights, sizes)
    truth = np.column_stack([law.predict(weights, *sizes.T) for law in TRUTHS])
    np.testing.assert_allclose(middle, truth, atol=0.01)
    assert (low < high).all()
    _, low_run, high_run = predict_at_scales(record, weights, sizes, of_run=True)
    np.testing.assert_allclose((high_run - low_run)[0] / 2, list(record.half_widths_nats.values()))


def test_at_one_scale_it_is_a_convex_mixing_law(fit):
    here = fit.record.at(params=1e9, tokens=1e11)
    assert here.laws.method == SLICE
    assert here.laws.is_convex
    assert len(here.laws.convex_laws()) == 2
    weights = TABLE.runs.weights[:1]
    expected = fit.record.laws.predict(weights, np.array([1e9]), np.array([1e11]))
    np.testing.assert_allclose(here.laws.predict(weights), expected)


def test_the_file_gives_back_what_was_written(fit, tmp_path):
    path = tmp_path / "law.json"
    path.write_text(json.dumps(fit.record.to_json()))
    again = read_any_law(path)
    assert isinstance(again, JointRecord)
    assert again.to_json() == json.loads(path.read_text())
    with pytest.raises(ValueError, match="say which scale with --params and --tokens"):
        read_law_at(path, params=1e9, tokens=None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["laws"].pop("web"), r"laws of \['code'\], wanted"),
        (lambda c: c.pop("gate"), "not a law file: gate: Field required"),
        (lambda c: c["laws"]["web"]["sensitivities"].pop(), "needs 2 rows of sensitivities"),
        (lambda c: c["runs"]["params"].pop(), r"runs.params must have shape \(54,\)"),
        (lambda c: c["half_widths_nats"].pop("web"), r"half_widths_nats holds none of \['web'\]"),
    ],
)
def test_a_damaged_file_is_refused(fit, tmp_path, change, message):
    content = json.loads(json.dumps(fit.record.to_json()))
    change(content)
    path = tmp_path / "law.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_any_law(path)


def test_rejects():
    with pytest.raises(ValueError, match="unknown joint law 'linear'"):
        fit_joint(TABLE, method="linear")
    with pytest.raises(ValueError, match="num_refits must be at least 1"):
        bootstrap_joint(TABLE, method="joint_additive", num_refits=0)
    alone = TABLE.take(np.arange(6))
    with pytest.raises(ValueError, match="most draws of the mixtures support no fit"):
        bootstrap_joint(alone, method="joint_log_linear", num_refits=1)


# --- commands


def write_runs(path, table=TABLE, **changes):
    runs = table.runs
    columns = {"run_id": list(runs.run_ids), "N": table.params, "D": table.tokens}
    columns |= {f"p_{name}": runs.weights[:, at] for at, name in enumerate(DOMAINS)}
    columns |= {f"loss_{name}": runs.losses[:, at] for at, name in enumerate(("web", "code"))}
    pl.DataFrame(columns | changes).write_csv(path)


FIT = ("--law", "joint-log-linear", "--params-col", "N", "--tokens-col", "D", "--folds", 2)


def invoke(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "160"})


@pytest.fixture(scope="module")
def folder(fit, tmp_path_factory):
    base = tmp_path_factory.mktemp("joint")
    write_runs(base / "runs.csv")
    result = invoke(
        "fit-law", base / "runs.csv", *FIT, "--test", base / "runs.csv", "--resamples", 1,
        "--out", base / "law.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    for words in ("mixtures left out in 2 folds", "scale alone", "On the given rows", "passed"):
        assert words in result.output
    assert (base / "law_fit.png").read_bytes().startswith(b"\x89PNG")
    content = replace(fit.record, scale_columns=ScaleColumns(params="N", tokens="D")).to_json()
    (base / "law.json").write_text(json.dumps(content))  # with more refits
    return base


def test_predict_takes_the_scale_from_the_file_or_from_options(folder):
    out = folder / "predictions.csv"
    assert invoke("predict", folder / "law.json", folder / "runs.csv", "--out", out).exit_code == 0
    there = pl.read_csv(out)
    np.testing.assert_allclose(there["loss_web"], TABLE.runs.losses[:, 0], atol=0.02)
    larger = ("--params", 1e9, "--tokens", 1e11)
    asked = invoke("predict", folder / "law.json", folder / "runs.csv", *larger, "--out", out)
    assert asked.exit_code == 0, asked.output
    sizes = np.tile([1e9, 1e11], (54, 1))
    truth = TRUTHS[0].predict(TABLE.runs.weights, *sizes.T)
    np.testing.assert_allclose(pl.read_csv(out)["loss_web"], truth, atol=0.02)


def test_propose_at_a_scale(folder):
    out = folder / "mixture.json"
    larger = ("--params", 1e9, "--tokens", 1e11, "--json", "--out", out)
    asked = invoke("propose", folder / "law.json", *larger)
    assert asked.exit_code == 0, asked.output
    content = json.loads(asked.stdout)
    assert sum(content["weights"].values()) == pytest.approx(1)
    assert content["gap_nats"] < 1e-6
    assert content["law"] == SLICE


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({}, ("--tokens-col", "T"), "no column T; there are run_id, N, D"),
        ({"N": ["1e8"] * 53 + ["7B"]}, (), "run r53), column N: number must be a number, got '7B'"),
        ({"D": [0.0, *TABLE.tokens[1:]]}, (), "run r0), column D: number must be > 0, got 0"),
        ({"N": [1e8] * 54}, (), "column N is 1e+08 in all 54 rows"),
        ({}, ("--law", "log-linear"), "log-linear knows the mixture alone"),
        ({}, ("--law", "joint"), "joint-additive, joint-log-linear"),
    ],
)
def test_bad_runs_are_one_line(tmp_path, change, arguments, message):
    write_runs(tmp_path / "runs.csv", **change)
    out = tmp_path / "law.json"
    result = invoke("fit-law", tmp_path / "runs.csv", *FIT, *arguments, "--out", out)
    assert (result.exit_code, out.exists()) == (2, False)
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("predict", "law.json", "bare.csv"), "no column N"),
        (("predict", "law.json", "bare.csv", "--params", "1e9"), "belong together"),
        (("predict", "law.json", "bare.csv", "--params", "0", "--tokens", "1"), "must be positive"),
        (("propose", "law.json"), "say which scale with --params and --tokens"),
    ],
)
def test_a_scale_that_is_missing_is_asked_for(folder, arguments, message):
    pl.DataFrame({"p_web": [0.5], "p_code": [0.3], "p_math": [0.2]}).write_csv(folder / "bare.csv")
    files = [folder / one if one.endswith((".csv", ".json")) else one for one in arguments]
    result = invoke(*files, "--out", folder / "never.json")
    assert result.exit_code == 2
    assert message in result.stderr

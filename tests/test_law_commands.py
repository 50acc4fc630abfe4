import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from orchestration.cli import app

DOMAINS = ("web", "code", "math")
SLOPES = np.array([[-0.9, 0.2, 0.6], [0.4, -0.8, 0.3]])


def runs(num_runs, seed):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(3), size=num_runs).round(3)
    losses = 1.5 + np.exp(weights @ SLOPES.T) + rng.normal(0, 0.005, (num_runs, 2))
    columns = {"run_id": [f"s{seed}_{number}" for number in range(num_runs)]}
    columns |= {f"p_{name}": weights[:, at] for at, name in enumerate(DOMAINS)}
    columns |= {f"loss_{name}": losses[:, at] for at, name in enumerate(("web", "code"))}
    return pl.DataFrame(columns)


def invoke(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs, more runs, and a law fitted on the first."""
    base = tmp_path_factory.mktemp("laws")
    runs(24, 1).write_csv(base / "runs.csv")
    runs(10, 2).write_csv(base / "test.csv")
    result = invoke(
        "fit-law", base / "runs.csv", "--weights-prefix", "p_", "--losses-prefix", "loss_",
        "--law", "log-linear", "--test", base / "test.csv", "--resamples", 20,
        "--out", base / "law.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (base / "printed.txt").write_text(result.output)
    return base


def test_fit_prints_held_out_scores_gate_and_scores_on_given_rows(folder):
    printed = (folder / "printed.txt").read_text()
    for words in ("held out in", "average", "On the given rows", "passed", "law_fit.png"):
        assert words in printed
    for name in ("law_fit.png", "law_residuals.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_predictions_have_the_stated_columns_and_hold_the_truth(folder):
    out = folder / "predictions.csv"
    result = invoke("predict", folder / "law.json", folder / "test.csv", "--out", out)
    assert result.exit_code == 0, result.output
    table = pl.read_csv(out)
    assert table.columns == ["run_id"] + [
        f"loss_{name}{end}" for name in ("web", "code") for end in ("", "_low", "_high")
    ]
    given = pl.read_csv(folder / "test.csv")
    assert table["run_id"].to_list() == given["run_id"].to_list()
    weights = given.select(f"p_{name}" for name in DOMAINS).to_numpy()
    truth = 1.5 + np.exp(weights / weights.sum(axis=1, keepdims=True) @ SLOPES.T)
    np.testing.assert_allclose(table["loss_web"], truth[:, 0], atol=0.03)
    assert (table["loss_web_low"] <= table["loss_web"]).all()
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    wide = invoke("predict", folder / "law.json", folder / "test.csv", "--of-run", "--out", out)
    assert wide.exit_code == 0
    of_run = pl.read_csv(out)
    width = (of_run["loss_web_high"] - of_run["loss_web_low"]).mean()
    assert width > (table["loss_web_high"] - table["loss_web_low"]).mean()


def test_json_is_one_object_on_stdout(folder, tmp_path):
    result = invoke(
        "fit-law", folder / "runs.csv", "--law", "linear", "--target", "code", "--json",
        "--out", tmp_path / "law.json", "--test", folder / "test.csv",
    )  # fmt: skip
    summary = json.loads(result.stdout)
    assert (summary["method"], summary["targets"], summary["runs"]) == ("linear", ["code"], 24)
    assert set(summary["test"]["code"]) >= {"spearman", "mae_nats", "mse_nats2"}
    assert "rounded" in summary["notes"][0]
    out = tmp_path / "predictions.csv"
    asked = invoke("predict", tmp_path / "law.json", folder / "test.csv", "--json", "--out", out)
    answer = json.loads(asked.stdout)
    assert len(answer["rows"]) == answer["mixtures"] == 10
    assert answer["best_by_average"] in {row["run_id"] for row in answer["rows"]}


def test_auto_says_what_it_tried(folder, tmp_path):
    result = invoke(
        "fit-law", folder / "runs.csv", "--law", "auto", "--target", "web", "--json",
        "--folds", 2, "--resamples", 2, "--out", tmp_path / "law.json",
    )  # fmt: skip
    choice = json.loads(result.stdout)["choice"]
    assert len(choice["fold_methods"]) == 2
    assert "lightgbm" in choice["left_aside"]
    assert choice["errors"]["log_linear"] < choice["errors"]["linear"]


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (lambda t: t.head(4), (), "needs 6 runs, got 4"),
        (lambda t: t.with_columns(loss_web=None), (), "row 1 (line 2, run s1_0), column loss_web"),
        (lambda t: pl.concat([t, t.head(1)]), (), "s1_0 occurs twice"),
        (lambda t: t, ("--target", "law"), "no column loss_law"),
        (lambda t: t, ("--law", "cubic"), "unknown law 'cubic'"),
        (lambda t: t.drop("p_math"), (), "shares sum to"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(tmp_path, change, arguments, message):
    change(runs(24, 1)).write_csv(tmp_path / "runs.csv")
    out = tmp_path / "law.json"
    result = invoke("fit-law", tmp_path / "runs.csv", *arguments, "--out", out)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not out.exists()


def test_mixtures_that_the_law_does_not_know_are_refused(folder, tmp_path):
    pl.DataFrame({"p_web": [0.5], "p_code": [0.5]}).write_csv(tmp_path / "two.csv")
    result = invoke("predict", folder / "law.json", tmp_path / "two.csv")
    assert (result.exit_code, "no column p_math" in result.stderr) == (2, True)
    (tmp_path / "law.json").write_text("{}")
    result = invoke("predict", tmp_path / "law.json", tmp_path / "two.csv")
    assert (result.exit_code, "not a law file" in result.stderr) == (2, True)


def test_a_mixture_far_from_the_runs_is_named(folder, tmp_path):
    near = runs(24, 1).with_columns(run_id=pl.lit("x")).head(1)
    rows = pl.DataFrame({"run_id": ["far"], "p_web": [1.0], "p_code": [0.0], "p_math": [0.0]})
    pl.concat([near.select(rows.columns), rows]).write_csv(tmp_path / "mixtures.csv")
    out = tmp_path / "predictions.csv"
    result = invoke(
        "predict", folder / "law.json", tmp_path / "mixtures.csv", "--out", out, "--json"
    )
    assert json.loads(result.stdout)["outside_the_runs"] == ["far"]


@pytest.mark.parametrize("command", ["fit-law", "predict"])
def test_help_has_examples(command):
    result = invoke(command, "--help")
    assert f"mixwright {command}" in result.stdout

"""The commands extrapolate, fit-dynamic and critical-share on small generated tables."""

import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from orchestration.cli import app

RNG = np.random.default_rng(0)
STEPS = np.array([1000.0, 2000, 4000, 8000])


def invoke(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "160"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("stages")
    weights = RNG.dirichlet(np.ones(3), 8)
    rows = [
        {"run_id": f"r{run}", "step": step, "params": 7e7}
        | {f"p_{name}": share for name, share in zip("abc", weight, strict=True)}
        | {"loss_x": 1.5 + np.exp(-weight[0]) * (step / 1000) ** -0.4}
        for run, weight in enumerate(weights)
        for step in STEPS
    ]
    pl.DataFrame(rows).write_csv(base / "checkpoints.csv")
    drops = weights @ np.array([0.3, 0.1, 0.0])
    forks = {"run_id": [f"f{number}" for number in range(8)], "loss_x": 3 - drops}
    forks |= {f"p_{name}": weights[:, at] for at, name in enumerate("abc")}
    pl.DataFrame(forks | {"initial_loss_x": [3.0] * 8}).write_csv(base / "forks.csv")
    shares = np.array([0.1, 0.2, 0.3, 0.5, 0.7, 0.9])
    stage = {"run_id": [f"s{number}" for number in range(6)], "p_old": shares, "p_new": 1 - shares}
    loss = 2 + np.exp(-3 * shares - 1)
    pl.DataFrame(stage | {"loss_old": loss, "loss_new": 4 - loss}).write_csv(base / "stage.csv")
    return base


def test_extended_runs_can_be_fitted(folder):
    out = folder / "extended.csv"
    asked = ("extrapolate", folder / "checkpoints.csv", "--by", "step", "--to", 64000)
    result = invoke(*asked, "--out", out)
    assert result.exit_code == 0, result.output
    assert "error on last points" in result.output
    table = pl.read_csv(out)
    assert table.columns == ["run_id", "step", "params", "p_a", "p_b", "p_c", "loss_x"]
    expected = 1.5 + np.exp(-table["p_a"].to_numpy()) * 64**-0.4
    np.testing.assert_allclose(table["loss_x"], expected, atol=5e-3)
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    content = json.loads(invoke(*asked, "--json", "--shared", "--out", out).stdout)
    assert content["curves"] == 8
    assert set(content["parameters"]["x"]["r0"]) == {"limit", "amplitude", "exponent", "reference"}


def test_what_is_useful_next_is_said(folder):
    out = folder / "dynamic.json"
    result = invoke("fit-dynamic", folder / "forks.csv", "--refits", 20, "--out", out)
    assert result.exit_code == 0, result.output
    assert "Most useful next: a +0.3000, b +0.1000, c" in result.output
    content = json.loads(out.read_text())
    assert content["drops"]["x"]["a"] == pytest.approx(0.3)
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_the_critical_share_of_a_known_law(folder):
    out = folder / "share.json"
    asked = (
        *("critical-share", folder / "stage.csv", "--domain", "old", "--target", "old"),
        *("--out", out, "--refits", 20, "--loss"),
    )
    result = invoke(*asked, 2 + np.exp(-3 * 0.4 - 1))
    assert result.exit_code == 0, result.output
    content = json.loads(out.read_text())
    assert content["share"] == pytest.approx(0.4, abs=1e-4)
    assert content["share_low"] <= content["share"] + 1e-6
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert "without any old" in invoke(*asked, 3.0).output
    assert "No share of old keeps" in invoke(*asked, 1.0).output


def test_four_runs_give_a_share_without_an_interval(folder):
    pl.read_csv(folder / "stage.csv").head(4).write_csv(folder / "four.csv")
    asked = ("--domain", "old", "--target", "old", "--loss", 2.1, "--json")
    result = invoke("critical-share", folder / "four.csv", *asked, "--out", folder / "share.json")
    content = json.loads(result.stdout)
    assert content["share"] == pytest.approx((-np.log(0.1) - 1) / 3, abs=1e-3)
    assert (content["share_low"], content["reached_by_refits"]) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("extrapolate", "checkpoints.csv", "--by", "hour", "--to", "9"), "no column hour"),
        (("extrapolate", "checkpoints.csv", "--by", "step", "--to", "-1"), "must be positive"),
        (("fit-dynamic", "checkpoints.csv"), "r0 occurs twice"),
        (("fit-dynamic", "stage.csv"), "no column initial_loss_old"),
        (
            ("critical-share", "stage.csv", "--domain", "x", "--target", "old", "--loss", "2"),
            "--domain x: the law knows old, new",
        ),
        (
            ("critical-share", "stage.csv", "--domain", "old", "--target", "x", "--loss", "2"),
            "--target x: the law knows old, new",
        ),
        (
            ("critical-share", "stage.csv", "--domain", "old", "--target", "old", "--loss", "nan"),
            "--loss must be finite",
        ),
        (
            (
                *("critical-share", "stage.csv", "--domain", "old", "--target", "old"),
                *("--loss", "2", "--law", "lightgbm"),
            ),
            "a convex law is needed",
        ),
    ],
)
def test_bad_input_is_one_line(folder, arguments, message):
    files = [folder / one if one.endswith(".csv") else one for one in arguments]
    out = folder / "never.out"
    result = invoke(*files, "--out", out)
    assert (result.exit_code, out.exists()) == (2, False)
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["extrapolate", "fit-dynamic", "critical-share"])
def test_help_has_examples(command):
    result = invoke(command, "--help")
    assert f"mixwright {command}" in result.output
    assert "--json" in result.output

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from orchestration.cli import app


@pytest.fixture
def invoke(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments):
        return CliRunner().invoke(app, ["skill-graph", *map(str, arguments)])

    return run


@pytest.fixture
def table(tmp_path):
    """Three seeds in which `walk` prepares `run` and hinders nothing."""
    rows = []
    for seed in range(3):
        shift = 0.01 * seed
        for run_id, walk, losses in (
            ("walk", 1.0, (1.0, 2.9)),
            ("run", 0.0, (3.0, 2.0)),
            ("both", 0.5, (1.0, 1.2)),
            ("other", 0.3, (1.5, 2.0)),
        ):
            rows.append(
                {"run_id": f"{run_id}-{seed}", "seed": seed, "steps": 10}
                | {"p_walk": walk, "p_run": 1 - walk}
                | {"loss_walk": losses[0] + shift, "loss_run": losses[1] + shift * losses[1]}
                | {"initial_loss_walk": 3.0, "initial_loss_run": 3.0}
            )
    pl.DataFrame(rows).write_csv(tmp_path / "runs.csv")
    return tmp_path / "runs.csv"


def test_writes_graph_and_drawing_and_says_what_it_means(invoke, table, tmp_path):
    out = tmp_path / "new" / "graph.json"
    result = invoke(table, "--out", out)
    assert result.exit_code == 0, result.output
    record = json.loads(out.read_text())
    assert record["method"] == "brute_force"
    assert record["matrix"]["walk"]["run"] == pytest.approx(0.8 * 1.01 / 3, rel=1e-6)
    assert [run["run_id"] for run in record["unused"]] == ["other-0", "other-1", "other-2"]
    assert out.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"
    assert "ordered: an order can help" in result.output
    assert "not used: other-0 (neither one skill alone" in result.output
    assert "1 positive and 0 negative of 2 edges" in result.output


def test_json_prints_the_file_and_nothing_else(invoke, table, tmp_path):
    out = tmp_path / "graph.json"
    result = invoke(table, "--out", out, "--json", "--method", "linear", "--min-weight", "0.1")
    assert json.loads(result.stdout) == json.loads(out.read_text())
    record = json.loads(result.stdout)
    assert (record["method"], record["min_weight"]) == ("linear", 0.1)
    assert record["diagnosis"]["verdict"] == "empty"


def test_bad_input_is_one_line_and_exit_code_2(invoke, table, tmp_path):
    pl.read_csv(table).drop("seed").write_csv(table)
    result = invoke(table, "--out", tmp_path / "graph.json")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "columns ['seed'] are missing" in result.stderr
    assert not (tmp_path / "graph.json").exists()


def test_an_output_that_cannot_be_written_is_an_error(invoke, table):
    result = invoke(table, "--out", table / "graph.json")
    assert result.exit_code == 2
    assert "error: " in result.stderr


def test_help_shows_the_layout_and_examples(invoke):
    output = invoke("--help").output
    assert "run_id,seed,steps,p_a,p_b,loss_a,loss_b,initial_loss_a,initial_loss_b" in output
    assert "mixwright skill-graph runs.csv --out graph.json" in output

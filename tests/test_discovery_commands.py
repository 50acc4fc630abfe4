import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from orchestration.cli import app

RNG = np.random.default_rng(0)
SKILL = RNG.integers(3, size=60)
TABLE = pl.DataFrame(
    {"id": [f"d{number}" for number in range(60)], "label": [f"s{one}" for one in SKILL]}
    | {f"loss_r_{at}": 3 - 0.3 * at * (SKILL + 1) + RNG.normal(0, 0.05, 60) for at in range(4)}
    | {f"emb_{at}": RNG.normal(0, 1, 60) for at in range(4)}
)


@pytest.fixture
def discover(tmp_path):
    def run(table, *arguments):
        table.write_csv(tmp_path / "documents.csv")
        out = tmp_path / "clusters.csv"
        named = ("discover-skills", tmp_path / "documents.csv", "--out", out, *arguments)
        return CliRunner().invoke(app, [str(one) for one in named]), out

    return run


def test_losses_that_fall_together_are_found_beside_embeddings_that_know_nothing(discover):
    result, out = discover(TABLE, "--skills", 3, "--json")
    kinds = json.loads(result.stdout)["kinds"]
    assert kinds["losses"]["accuracy"] == kinds["losses"]["stability"] == 1
    assert kinds["embeddings"]["stability"] < 0.9
    assert len(kinds["losses"]["stability_by_pair"]) == 3
    assert sum(kinds["losses"]["sizes"]) == 60
    found = pl.read_csv(out)
    assert found.columns == ["id", "cluster_by_losses", "cluster_by_embeddings"]
    assert found.group_by("cluster_by_losses").len().height == 3


def test_without_labels_and_embeddings_the_table_says_so(discover):
    result, _ = discover(TABLE.drop("label", "id", "^emb_.*$"), "--skills", 3, "--seeds", 2)
    assert result.exit_code == 0, result.output
    assert "no labels" in result.output
    assert "embeddings" not in result.output


@pytest.mark.parametrize(
    ("table", "arguments", "message"),
    [
        (TABLE.drop("^loss_.*$"), (), "no column begins with 'loss_'"),
        (TABLE.head(2), (), "2 documents cannot be divided into 3 skills"),
        (TABLE.with_columns(emb_0=pl.lit("x")), (), "column emb_0: number must be a number"),
    ],
)
def test_bad_input_is_one_line(discover, table, arguments, message):
    result, out = discover(table, "--skills", 3, *arguments)
    assert (result.exit_code, out.exists()) == (2, False)
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1

import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from orchestration.cli import app

TOKENS = {"web": 6e11, "code": 2e11, "math": 5e10}


@pytest.fixture
def design(tmp_path):
    def run(content, *arguments):
        (tmp_path / "natural.json").write_text(json.dumps(content))
        out = tmp_path / "swarm.csv"
        named = ("design-swarm", tmp_path / "natural.json", "--out", out, *arguments)
        return CliRunner().invoke(app, [str(one) for one in named]), out

    return run


def test_a_swarm_within_the_tokens_contains_the_smaller_one(design):
    asked = ("--budget-tokens", 1e12, "--max-epochs", 4, "--runs")
    result, out = design(TOKENS, *asked, 20)
    assert result.exit_code == 0, result.output
    large = pl.read_csv(out)
    shares = large.select("p_web", "p_code", "p_math").to_numpy()
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert (shares[:, 2] <= 0.2 + 1e-6).all()
    assert {"natural", "without web"} <= set(large["origin"])
    assert "above a cap: uniform" in result.output
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    result, out = design(TOKENS, *asked, 12)
    assert large["p_web"].to_list()[:12] == pl.read_csv(out)["p_web"].to_list()


def test_shares_do_without_a_budget_and_the_size_rule_decides(design):
    result, out = design({"web": 0.7, "code": 0.3}, "--json", "--space-filling", "--no-corners")
    content = json.loads(result.stdout)
    assert content["runs"] == 9 == pl.read_csv(out).height
    assert not any(origin.startswith("without") for origin in pl.read_csv(out)["origin"])


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (TOKENS, ("--budget-tokens", "1e14"), "the largest feasible budget is 3.4e+12 tokens"),
        (TOKENS | {"math": 0}, (), "math: a domain without tokens is left out"),
        (TOKENS | {"math": -1}, (), "math: tokens must not be negative"),
        ({"web": 1e9}, (), "at least two different domains"),
        ({"web": 0.7, "code": 0.3}, ("--budget-tokens", "9"), "these are shares"),
        (TOKENS, ("--strength-max", "0.01"), "strength_max = 0.01 is below"),
    ],
)
def test_bad_requests_are_one_line(design, content, arguments, message):
    result, out = design(content, *arguments)
    assert (result.exit_code, out.exists()) == (2, False)
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1

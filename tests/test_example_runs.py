"""The examples that ship with the gate: one law that it passes, one that it blocks."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestration.cli import app

FOLDER = Path(__file__).parents[1] / "examples" / "runs"


@pytest.mark.parametrize(("name", "passes"), [("known_law", True), ("noise", False)])
def test_the_gate_tells_a_law_from_noise(name, passes, tmp_path):
    result = CliRunner().invoke(
        app,
        [
            "fit-law", str(FOLDER / f"{name}.csv"), "--resamples", "2", "--folds", "6", "--json",
            "--out", str(tmp_path / "law.json"),
        ],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    gate = json.loads(result.stdout)["gate"]
    assert gate["passed"] is passes
    if not passes:
        failed = {row["name"] for row in gate["rows"] if not row["passed"]}
        assert any(name.startswith("error minus best trivial") for name in failed)

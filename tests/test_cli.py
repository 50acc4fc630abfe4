"""The command line: help, mistakes, and what `status` says."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assets.partitions import CATALOGUE
from orchestration import deployments
from orchestration.cli import app
from orchestration.verdicts import read_verdicts

COMMANDS = [one.name or one.callback.__name__ for one in app.registered_commands]
PROJECT = Path(__file__).parents[1]


@pytest.fixture
def invoke(monkeypatch):
    """Run a command in this process, with a terminal wide enough for its tables."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("MIXWRIGHT_PRESET", "ci")

    def run(*arguments):
        return CliRunner().invoke(app, list(arguments))

    return run


def test_there_are_these_commands():
    graph = {"demo", "status", "report", "check", "validate", "dev", "accept"}
    texts = {"profile", "clean", "dedup", "decontaminate", "tokenize", "trace", "tag", "score"}
    laws = {"fit-law", "predict", "propose", "fit-scaling", "plan", "skill-graph"}
    laws |= {"design-swarm", "discover-skills", "extrapolate", "fit-dynamic", "critical-share"}
    labels = {"tag", "score"}
    trainings = {"train", "methods", "explain"}
    assert set(COMMANDS) == graph | texts | laws | labels | trainings


@pytest.mark.parametrize("command", COMMANDS)
def test_help(invoke, command):
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f"{command} [OPTIONS]" in result.output


@pytest.mark.parametrize("command", ["demo", "status", "report", "check", "dev"])
def test_preset_can_be_chosen(invoke, command):
    assert "--preset" in invoke(command, "--help").output


def test_without_a_command_the_help_is_shown(invoke):
    result = invoke()
    assert all(command in result.output for command in COMMANDS)


def test_an_unknown_preset_names_those_there_are():
    code = "from orchestration.cli import app; app()"
    result = subprocess.run(
        [sys.executable, "-c", code, "status", "--preset", "no-such-preset"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert "no-such-preset.yaml: no such preset" in result.stderr
    assert "'ci', 'demo'" in result.stderr
    assert "Traceback" not in result.stderr


def test_status_of_an_empty_home(invoke, tmp_path, monkeypatch):
    monkeypatch.setenv("MIXWRIGHT_HOME", str(tmp_path))
    result = invoke("status")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    for corpus in CATALOGUE:
        assert any("raw_corpora" in line and corpus in line for line in lines)
    rows = [line for line in lines if "never made" in line]
    # 4 corpora x 6 assets, 4 domains x 2, 3 runs that need no plan, 8 assets without partitions
    assert len(rows) == 24 + 8 + 3 + 8
    assert not (tmp_path / "ci" / "lake").exists()


@pytest.mark.timeout(900)  # the first test to use it makes the graph
def test_status_of_a_full_home(invoke, made_home):
    result = invoke("status")
    assert (result.exit_code, result.output.splitlines()[0]) == (0, "Everything is fresh.")
    # What does not hold is listed, and nothing else: the runs are too small for a law, and for
    # Aioli's matrix to predict anything.
    shown = {line.split("│")[1].strip() for line in result.output.splitlines() if "│" in line}
    found = {one.gate for one in read_verdicts(deployments.lake()) if one.failed}
    assert shown - {""} == found
    assert found <= {"law_evidence", "plan_within_evidence", "mixture_guards"}


@pytest.mark.timeout(900)
def test_status_names_what_was_never_judged(invoke, made_home):
    gates = made_home / "ci/lake/gates/cleaned_shards/small-talk"
    (verdict,) = gates.glob("*/cleaned_documents.json")
    verdict.unlink()
    (row, *_) = [line for line in invoke("status").output.splitlines() if "cleaned_shards" in line]
    assert "small-talk" in row
    assert "not judged by cleaned_documents" in row


@pytest.mark.timeout(900)
def test_report_is_written_where_it_is_wanted(invoke, made_home, tmp_path):
    out = tmp_path / "deep" / "page.html"
    result = invoke("report", "--out", str(out))
    assert result.exit_code == 0, result.output
    assert f"Report: {out}" in result.output.replace("\n", "")
    assert "law-optimal" in out.read_text()

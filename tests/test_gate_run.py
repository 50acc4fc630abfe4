"""`mixwright check`: its exit code is what continuous integration goes by."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assets.gates import GATES
from assets.partitions import CATALOGUE, DOMAINS
from orchestration.cli import app

EXAMPLES = Path(__file__).parents[1] / "examples"
NO_NETWORK = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "ALL_PROXY")}
"""A port where nobody listens."""


@pytest.fixture
def preset(tmp_path):
    """A copy of the preset ci and its corpora; returns the preset's file."""
    shutil.copytree(EXAMPLES / "fixtures", tmp_path / "fixtures")
    (tmp_path / "presets").mkdir()
    return Path(shutil.copy2(EXAMPLES / "presets" / "ci.yaml", tmp_path / "presets"))


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Run the command in a process of its own, for the preset is read on import."""
    monkeypatch.setenv("MIXWRIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    for name, value in NO_NETWORK.items():
        monkeypatch.setenv(name, value)

    def run(preset):
        code = "from orchestration.cli import app; app()"
        command = [sys.executable, "-c", code, "check", "--preset", str(preset)]
        root = Path(__file__).parents[1]
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)

    return run


def test_sound_corpora_pass_and_leave_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXWRIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MIXWRIGHT_PRESET", "ci")
    monkeypatch.setenv("COLUMNS", "200")
    for name, value in NO_NETWORK.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == 0, result.output
    num_checks = 6 * len(CATALOGUE) + len(DOMAINS) + 1
    assert f"{num_checks} checks, 0 failed with severity ERROR" in result.output
    for asset in ("raw_corpora", "contaminated_documents", "token_shards", "shard_profile"):
        for gate in GATES[asset]:
            assert f"{asset}: {gate}" in result.output
    assert not (tmp_path / "home").exists()


def test_a_corpus_that_fails_its_gate_fails_the_command(preset, check):
    damaged = sorted((preset.parents[1] / "fixtures/literature/macbeth").iterdir())[:10]
    for path in damaged:
        path.write_bytes(b"\xff\xfe\xfa" * 100)
    result = check(preset)
    assert result.returncode == 1, result.stderr
    assert "1 failed with severity ERROR" in result.stdout
    (row,) = [line for line in result.stdout.splitlines() if "failed" in line and "│" in line]
    assert "raw_corpora: raw_documents" in row
    assert "macbeth-and-sonnets" in row
    # what needs the failed corpus is said to be not judged, and why
    assert "not judged: heldout_sets[literature]" in result.stdout
    assert "cleaned_shards[macbeth-and-sonnets] was never materialised" in result.stdout


def test_an_unknown_key_of_the_preset_is_a_mistake_of_the_caller(preset, check):
    preset.write_text(preset.read_text() + "learning_rate: 0.1\n")
    result = check(preset)
    assert result.returncode == 2
    assert str(preset) in result.stderr
    assert "learning_rate" in result.stderr
    assert "Traceback" not in result.stderr

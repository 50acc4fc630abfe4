"""The command, in processes of its own, as a launcher sees it."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from dagster_pipes import encode_param

from training import run
from training.checkpoint import lock_folder
from training.config import ScheduleConfig
from training.loop import train
from training.run import EXIT_CONFIG, EXIT_LOCKED, EXIT_STOPPED, main
from training.tensor_file import write_tensors

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def command(config, out, *options):
    return [sys.executable, "-m", "training.run", str(config), "--out", str(out), *options]


def launch(*arguments, **environment):
    return subprocess.Popen(
        command(*arguments, "--plain"),
        env=ENVIRONMENT | environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(stream, text):
    lines = []
    for line in stream:
        lines.append(line)
        if text in line:
            return
    raise AssertionError(f"{text!r} never came: {''.join(lines)}")


def outcome(out):
    files = [out / "metrics.jsonl", out / "result.json"]
    files += [*(out / "ledger").iterdir(), *(out / "final").iterdir()]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


@pytest.fixture
def keep_signals():
    """main() installs handlers; give pytest its own back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def long_run(aioli_run):
    """Too long to end before a test has reacted to its first lines."""
    return replace(aioli_run, schedule=replace(aioli_run.schedule, steps=300))


@pytest.fixture
def endless_run(aioli_run):
    return replace(aioli_run, schedule=replace(aioli_run.schedule, steps=10**7))


def test_killed_and_terminated_run_ends_bit_for_bit_the_same(long_run, tmp_path, write_run):
    """SIGKILL in the first attempt, SIGTERM in the second; the third finishes."""
    config, out = write_run(long_run, tmp_path / "run.json"), tmp_path / "out"
    with launch(config, out) as process:
        wait_for(process.stderr, "step 10/300")  # an evaluation step is always reported
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (out / "result.json").exists()
    with launch(config, out) as process:
        wait_for(process.stderr, "step 30/300")
        process.terminate()
        message = process.stderr.read()
    assert process.returncode == EXIT_STOPPED
    stopped = re.search(r"stopped by signal 15 after step (\d+); checkpoint written", message)
    assert 30 <= int(stopped[1]) < 300
    assert not (out / "result.json").exists()
    with launch(config, out) as process:
        assert "step 10/300" not in process.stderr.read()  # it did not start from the beginning
    assert process.returncode == 0
    train(long_run, tmp_path / "straight")
    assert outcome(out) == outcome(tmp_path / "straight")


def test_ends_with_a_checkpoint_when_its_parent_is_killed(endless_run, tmp_path, write_run):
    config, out = write_run(endless_run, tmp_path / "run.json"), tmp_path / "out"
    launcher = (
        "import os, subprocess, sys;"
        "subprocess.Popen([*sys.argv[1:], '--parent-pid', str(os.getpid())]).wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", launcher, *command(config, out, "--plain")],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    ) as parent:
        wait_for(parent.stderr, "step 10/")
        parent.kill()
        # The trainer holds the other end of this pipe: reading to its end waits for the trainer.
        assert "stopped by signal 15" in parent.stderr.read()
    with lock_folder(out / "checkpoints"):
        assert any((out / "checkpoints").iterdir())


def test_does_not_start_when_its_parent_is_gone(tiny_run, tmp_path, write_run):
    config = write_run(tiny_run, tmp_path / "run.json")
    with launch(config, tmp_path / "out", "--parent-pid", "1") as process:
        assert process.wait() == EXIT_STOPPED
    assert not (tmp_path / "out").exists()


def test_streams_progress_through_pipes(tiny_run, tmp_path, write_run):
    config = write_run(tiny_run, tmp_path / "run.json")
    context = {
        "asset_keys": ["training_runs"],
        "code_version_by_asset_key": {"training_runs": None},
        "provenance_by_asset_key": {"training_runs": None},
        "partition_key": None,
        "partition_key_range": None,
        "partition_time_window": None,
        "run_id": "r",
        "job_name": None,
        "retry_number": 0,
        "extras": {},
    }
    (tmp_path / "context.json").write_text(json.dumps(context))
    with launch(
        config,
        tmp_path / "out",
        DAGSTER_PIPES_CONTEXT=encode_param({"path": str(tmp_path / "context.json")}),
        DAGSTER_PIPES_MESSAGES=encode_param({"path": str(tmp_path / "messages")}),
    ) as process:
        log = process.stderr.read()
    assert process.returncode == 0, log
    messages = [json.loads(line) for line in (tmp_path / "messages").read_text().splitlines()]
    assert [messages[0]["method"], messages[-1]["method"]] == ["opened", "closed"]
    reports = [
        message["params"]["payload"]
        for message in messages
        if message["method"] == "report_custom_message"
    ]
    assert reports.pop() == {"exit_code": 0}
    assert reports[0]["step"] == 1
    assert reports[-1]["step"] == reports[-1]["steps"] == 24
    assert reports[-1]["weights"] == dict.fromkeys(tiny_run.domains, 1 / 3)
    assert reports[-1]["heldout"].keys() == tiny_run.domains.keys()
    assert reports[-1]["tokens_per_second"] > 0
    assert reports[-1]["loss"] > 0


@pytest.mark.usefixtures("keep_signals")
def test_second_writer_is_told(tiny_run, tmp_path, write_run, caplog):
    config = write_run(tiny_run, tmp_path / "run.json")
    with lock_folder(tmp_path / "out/checkpoints"):
        assert main([str(config), "--out", str(tmp_path / "out")]) == EXIT_LOCKED
    assert "another training process writes here" in caplog.text


@pytest.mark.usefixtures("keep_signals")
def test_wrong_configurations_are_told(tiny_run, tmp_path, write_run, caplog):
    out = ["--out", str(tmp_path / "out")]
    assert main([str(tmp_path / "missing.json"), *out]) == EXIT_CONFIG
    assert "missing.json" in caplog.text
    config = write_run(tiny_run, tmp_path / "run.json")
    content = json.loads(config.read_text())
    config.write_text(json.dumps(content | {"sede": 1}))
    assert main([str(config), *out]) == EXIT_CONFIG
    assert "sede" in caplog.text
    config.write_text(json.dumps(content | {"domains": {"blue": "/nowhere"}}))
    assert main([str(config), *out]) == EXIT_CONFIG
    assert "/nowhere" in caplog.text


@pytest.mark.usefixtures("keep_signals")
@pytest.mark.parametrize(
    "case",
    [
        ({"max_epochs": 0.01}, run.EXIT_REFUSED, "would pass max_epochs"),
        (
            {"schedule": ScheduleConfig(steps=24, batch_rows=6, peak_lr=1e30, clip_norm=None)},
            run.EXIT_DIVERGED,
            "gradient norm",
        ),
    ],
    ids=["used up", "diverged"],
)
def test_failures_have_their_own_exit_codes(tiny_run, tmp_path, write_run, caplog, case):
    changes, code, message = case
    config = write_run(replace(tiny_run, **changes), tmp_path / "run.json")
    assert main([str(config), "--out", str(tmp_path / "out")]) == code
    assert message in caplog.text


@pytest.mark.usefixtures("keep_signals")
def test_full_disk_has_its_own_exit_code(tiny_run, tmp_path, write_run, caplog, monkeypatch):
    written = []

    def full(tensors, path):
        written.append(path)
        if len(written) > 1:
            raise OSError(28, "No space left on device", "tensors.safetensors")
        return write_tensors(tensors, path)

    monkeypatch.setattr("training.checkpoint.write_tensors", full)
    config = write_run(tiny_run, tmp_path / "run.json")
    assert main([str(config), "--out", str(tmp_path / "out")]) == run.EXIT_IO
    assert "No space left on device: 'tensors.safetensors'" in caplog.text
    assert f"{tmp_path}/out: a file cannot be written" in caplog.text
    assert "Last good checkpoint: " in caplog.text
    assert "out/checkpoints/step-00000005. Make room" in caplog.text

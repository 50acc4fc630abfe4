"""Training runs in real processes: killed anywhere and made again, they end in the same bytes."""

import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from toy_shards import publish_toy_shards

from assets import run_configs, training_outcome
from assets import training_runs as training_runs_module
from assets.lake import Lake
from assets.launchers import LocalLauncher
from assets.partitions import DOMAINS, TRAINING_RUNS
from assets.run_configs import target_config, token_artifacts
from assets.training_runs import PUBLISHED, training_runs
from training import run, run_folder
from training.config import EvaluationConfig

TESTS = Path(__file__).parent
(KEY,) = (key for key, one in TRAINING_RUNS.items() if one.label == "aioli")
"""Aioli carries the most state from step to step."""
STEPS = 400
"""Long enough that a test has reacted to the first checkpoint before the last step."""
PATIENCE_SECONDS = 120
"""A condition that has not come by then never will."""


def lengthen():
    """In this process, give the training runs of the preset more steps and short evaluations."""
    target = run_configs.PRESET.target
    target = replace(
        target,
        schedule=replace(target.schedule, steps=STEPS),
        evaluation=EvaluationConfig(rows_per_domain=2),
    )
    run_configs.PRESET = replace(run_configs.PRESET, target=target)


def materialise(root):
    """Materialise the run in this process; observations come as often as messages do."""
    with warnings.catch_warnings():
        for kind in (dg.PreviewWarning, dg.BetaWarning):
            warnings.filterwarnings("ignore", category=kind)
        return dg.materialize(
            [training_runs],
            partition_key=KEY,
            resources={
                "lake": Lake(root=root),
                "launcher": LocalLauncher(poll_seconds=0.05, observe_every_seconds=0),
            },
            raise_on_error=False,
        )


def materialise_alone(root):
    """What a process of its own executes; SIGTERM interrupts it, as Dagster's own processes."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    lengthen()
    sys.exit(not materialise(root).success)


@pytest.fixture(autouse=True)
def _long_runs(monkeypatch):
    monkeypatch.setattr(run_configs, "PRESET", run_configs.PRESET)
    lengthen()


@pytest.fixture
def lake(tmp_path):
    lake = Lake(root=str(tmp_path / "lake"))
    publish_toy_shards(lake)
    return lake


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The run as it is when nothing happens."""
    lake = Lake(root=str(tmp_path_factory.mktemp("uninterrupted") / "lake"))
    publish_toy_shards(lake)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_configs, "PRESET", run_configs.PRESET)
        lengthen()
        assert materialise(lake.root).success
    return lake.artifact("training_runs", KEY)


def work_folder(lake):
    configuration = target_config(TRAINING_RUNS[KEY], token_artifacts(lake), None)
    return lake.work_folder("training_runs", KEY, configuration.digest())


def saved_step(work):
    """Step of the newest complete checkpoint; -1 before the first."""
    names = [path.name for path in work.glob("checkpoints/step-*") if path.suffix != ".tmp"]
    return max((int(name.removeprefix("step-")) for name in names), default=-1)


def wait_for(condition, what):
    limit = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < limit, f"{what} never came"
        select.select([], [], [], 0.02)


def trainers(work):
    """Numbers of the processes that train in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"training.run" in command and str(work).encode() in command:
            found.append(int(path.parent.name))
    return found


@contextmanager
def watched(work):
    """Descriptor of the one process that trains in a folder."""
    (number,) = trainers(work)
    descriptor = os.pidfd_open(number)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def has_ended(descriptor):
    return bool(select.select([descriptor], [], [], PATIENCE_SECONDS)[0])


def observed_steps(result):
    events = [e for e in result.all_events if e.event_type_value == "ASSET_OBSERVATION"]
    observations = [event.asset_observation_data.asset_observation for event in events]
    return [one.metadata["step"].value for one in observations]


def failure(result):
    (event,) = result.get_step_failure_events()
    return event.step_failure_data.user_failure_data


def test_a_finished_run_publishes_model_ledger_metrics_and_result(uninterrupted):
    assert {path.name for path in uninterrupted.folder.iterdir()} == set(PUBLISHED)
    lines = (uninterrupted.folder / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 1 + STEPS  # the state before the first step, then one line each
    assert uninterrupted.json("result.json")["finished"] is True
    assert {"final/model.safetensors", "result.json"} <= uninterrupted.manifest["files"].keys()
    assert uninterrupted.manifest["inputs"].keys() == {f"token_shards[{name}]" for name in DOMAINS}
    assert not list(Path(uninterrupted.folder.parents[3], "work").rglob("checkpoints"))


def test_a_trainer_that_dies_is_retried_and_ends_in_the_same_bytes(lake, uninterrupted):
    """SIGKILL, then SIGTERM: each time Dagster starts it again, and it goes on where it was."""
    work = work_folder(lake)
    saved = []

    def end_it_twice():
        for number in (signal.SIGKILL, signal.SIGTERM):
            at_least = 20 + max(saved, default=0)
            wait_for(lambda: saved_step(work) >= at_least, "a checkpoint")  # noqa: B023
            with watched(work) as trainer:
                saved.append(saved_step(work))
                signal.pidfd_send_signal(trainer, number)
                assert has_ended(trainer)

    killer = threading.Thread(target=end_it_twice, daemon=True)
    killer.start()
    result = materialise(lake.root)
    killer.join()
    assert result.success
    retried = [event for event in result.all_events if event.is_step_up_for_retry]
    causes = [event.step_retry_data.error.cause.message for event in retried]
    assert len(causes) == 2
    assert "training was killed by SIGKILL" in causes[0]
    assert "training was interrupted and wrote a checkpoint (exit code 75)" in causes[1]
    steps = observed_steps(result)
    assert sum(step == 1 for step in steps) <= 1  # no attempt started from the beginning
    artifact = lake.artifact("training_runs", KEY)
    assert artifact.data_version == uninterrupted.data_version
    assert artifact.manifest["files"] == uninterrupted.manifest["files"]


def test_a_dagster_run_that_ends_in_any_way_takes_its_trainer_along(lake, uninterrupted):
    """SIGTERM, then SIGKILL to the process of the Dagster run; each attempt goes a bit further."""
    work = work_folder(lake)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    program = "import sys, test_training_runs as t; t.materialise_alone(sys.argv[1])"
    saved = 0
    for number in (signal.SIGTERM, signal.SIGKILL):
        with subprocess.Popen(
            [sys.executable, "-c", program, lake.root],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as dagster:
            wait_for(lambda: saved_step(work) >= saved + 20, "a newer checkpoint")  # noqa: B023
            with watched(work) as trainer:
                dagster.send_signal(number)
                assert has_ended(trainer), f"{number.name} left an orphan"
        assert dagster.returncode != 0
        assert trainers(work) == []
        saved = saved_step(work)
        assert saved < STEPS
        assert lake.find("training_runs", KEY) is None
    result = materialise(lake.root)
    assert result.success
    assert min(observed_steps(result)) > saved
    artifact = lake.artifact("training_runs", KEY)
    assert artifact.data_version == uninterrupted.data_version
    # What the killed process left of its draft went with the next one.
    assert {path.name for path in artifact.folder.parent.iterdir()} == {
        "current.json",
        artifact.data_version,
    }


def test_a_second_writer_is_refused_with_one_error(lake):
    work = work_folder(lake)
    (work / "checkpoints").mkdir()
    holder = os.open(work / "checkpoints", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        result = materialise(lake.root)
    finally:
        os.close(holder)
    refused = failure(result)
    assert refused.metadata["exit_code"].value == run.EXIT_LOCKED
    assert str(work / "checkpoints") in refused.description
    assert "another training process writes here; wait until it ends or stop it" in (
        refused.description
    )
    assert lake.find("training_runs", KEY) is None
    assert not (work / "metrics.jsonl").exists()


def test_dagster_knows_the_exit_codes_of_training():
    assert training_outcome.EXIT_RESUMABLE == run.EXIT_STOPPED
    argparse_refuses = 2
    assert {argparse_refuses, run.EXIT_CONFIG} == training_outcome.EXITS_CONFIGURATION
    final = {run.EXIT_DIVERGED, run.EXIT_REFUSED, run.EXIT_LOCKED}
    assert final <= training_outcome.EXITS_FINAL
    assert training_runs_module.RUN_CONFIG_FILE == run_folder.RUN_CONFIG_FILE

"""The training client with real processes: what they report, and that none outlives its step."""

import os
import select
import signal
import sys
import threading

import dagster as dg
import pytest

from assets.pipes import TAIL_LINES, TrainingPipesClient
from assets.training_outcome import _failure

OPEN = "from dagster_pipes import open_dagster_pipes\nwith open_dagster_pipes() as pipes:\n"
PARTITIONS = dg.StaticPartitionsDefinition(["uniform"])


@pytest.fixture
def train(tmp_path):
    """Materialise `training_runs[uniform]`, whose process runs a given body of Python."""

    def run(body, *arguments, client=None, extras=None, env=None):
        script = tmp_path / "trainer.py"
        script.write_text(body)

        @dg.asset(partitions_def=PARTITIONS)
        def training_runs(context: dg.AssetExecutionContext, pipes: TrainingPipesClient):
            done = pipes.run(
                context=context,
                command=[sys.executable, str(script), *map(str, arguments)],
                extras=extras,
                env=env,
            )
            return done.get_materialize_result()

        return dg.materialize(
            [training_runs],
            partition_key="uniform",
            resources={"pipes": client or TrainingPipesClient(poll_seconds=0.05)},
            instance=run.instance,
            raise_on_error=False,
        )

    with dg.DagsterInstance.ephemeral() as run.instance:
        yield run


def observations(result):
    events = [e for e in result.all_events if e.event_type_value == "ASSET_OBSERVATION"]
    return [event.asset_observation_data.asset_observation for event in events]


def failure(result):
    (event,) = result.get_step_failure_events()
    return event.step_failure_data


def test_results_extras_and_environment_pass_through(train):
    body = OPEN + (
        "    import os\n"
        "    value = pipes.extras['rows'] + int(os.environ['OMP_NUM_THREADS'])\n"
        "    pipes.report_asset_materialization(metadata={'sum': value}, data_version='v7')\n"
    )
    result = train(body, extras={"rows": 4}, env={"OMP_NUM_THREADS": "1"})
    (event,) = result.asset_materializations_for_node("training_runs")
    assert event.metadata["sum"].value == 5
    assert event.tags["dagster/data_version"] == "v7"


def test_a_message_becomes_an_observation_while_the_process_runs(train, tmp_path, monkeypatch):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    log_event = dg.AssetExecutionContext.log_event

    def log_and_open_the_gate(context, event):
        log_event(context, event)
        if event.metadata["step"].value == 1:
            gate.write_text("go")

    monkeypatch.setattr(dg.AssetExecutionContext, "log_event", log_and_open_the_gate)
    body = OPEN + (
        "    import sys\n"
        "    message = {'step': 1, 'loss': 2.5, 'weights': {'code': 0.25}, 'heldout': None}\n"
        "    pipes.report_custom_message(message)\n"
        "    assert open(sys.argv[1]).read() == 'go'\n"  # waits for the observation
        "    pipes.report_custom_message({'step': 2, 'loss': float('nan'), 'weights': {}})\n"
    )
    client = TrainingPipesClient(poll_seconds=0.05, observe_every_seconds=0)
    result = train(body, gate, client=client)
    assert result.success
    live, last = observations(result)
    assert (live.asset_key, live.partition) == (dg.AssetKey("training_runs"), "uniform")
    shown = {key: value.value for key, value in live.metadata.items()}
    assert shown == {"step": 1, "loss": 2.5, "weights": {"code": 0.25}, "heldout": "None"}
    assert (last.metadata["step"].value, last.metadata["loss"].value) == (2, "nan")


def test_observations_are_rare_but_the_last_message_is_always_shown(train):
    body = OPEN + (
        "    for step in range(50):\n"
        "        pipes.report_custom_message({'step': step, 'loss': 1.0})\n"
    )
    client = TrainingPipesClient(poll_seconds=0.05, observe_every_seconds=3600)
    shown = [o.metadata["step"].value for o in observations(train(body, client=client))]
    assert shown[-1] == 49
    assert len(shown) <= 2


def interrupt_when_ready(ready):
    """Send SIGINT to this process once the trainer has named its processes in a FIFO.

    Returns the thread and the list that it fills with a descriptor per process.
    """
    descriptors = []

    def wait():
        pids = ready.read_text().split()
        descriptors.extend(os.pidfd_open(int(pid)) for pid in pids)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread, descriptors


def has_ended(descriptor):
    """Block until a process has ended, at most five seconds."""
    ended, _, _ = select.select([descriptor], [], [], 5)
    os.close(descriptor)
    return bool(ended)


GRANDCHILD = (
    "import os, signal, subprocess, sys\n"
    "{stance}\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
    "open(sys.argv[1], 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
    "while True:\n"
    "    signal.pause()\n"
)
CHECKPOINTS = (
    "def stop(number, frame):\n"
    "    open(sys.argv[2], 'w').write('checkpoint')\n"
    "    os._exit(75)\n"
    "signal.signal(signal.SIGTERM, stop)"
)
IGNORES = "signal.signal(signal.SIGTERM, lambda *_: open(sys.argv[2], 'a').write('ignored'))"


@pytest.mark.parametrize(
    ("stance", "grace_seconds", "left"),
    [(CHECKPOINTS, 60.0, "checkpoint"), (IGNORES, 0.5, "ignored")],
)
def test_an_interrupt_leaves_no_process_behind(train, tmp_path, stance, grace_seconds, left):
    ready, trace = tmp_path / "ready", tmp_path / "trace"
    os.mkfifo(ready)
    thread, descriptors = interrupt_when_ready(ready)
    client = TrainingPipesClient(poll_seconds=0.05, grace_seconds=grace_seconds)
    result = train(GRANDCHILD.format(stance=stance), ready, trace, client=client)
    assert failure(result).error.cls_name == "DagsterExecutionInterruptedError"
    thread.join(timeout=10)
    assert [has_ended(descriptor) for descriptor in descriptors] == [True, True]
    assert trace.read_text() == left


def test_a_process_left_behind_by_a_finished_trainer_is_killed(train, tmp_path):
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    descriptors = []
    thread = threading.Thread(
        target=lambda: descriptors.append(os.pidfd_open(int(ready.read_text()))), daemon=True
    )
    thread.start()
    body = OPEN + (
        "    import subprocess, sys\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "    open(sys.argv[1], 'w').write(str(child.pid))\n"
    )
    assert train(body, ready).success
    thread.join(timeout=10)
    assert has_ended(descriptors[0])


@pytest.mark.parametrize(
    ("code", "retried", "message"),
    [
        (75, True, "materialise the same partition with the same configuration again"),
        (78, False, "refused its configuration"),
        (2, False, "refused its configuration"),
        (65, False, "exit code 65"),
        (70, False, "exit code 70"),
        (71, False, "exit code 71"),
        (73, False, "exit code 73"),
        (74, True, "exit code 74"),
        (1, True, "exit code 1"),
        (-9, True, "killed by SIGKILL"),
    ],
)
def test_exit_codes_say_whether_another_attempt_helps(code, retried, message):
    raised = _failure(code, ["line one", "line two"])
    assert raised.allow_retries is retried
    assert message in raised.description
    assert "line one\nline two" in raised.description
    assert raised.metadata["exit_code"].value == code


def test_what_the_trainer_says_of_its_end_counts_under_a_wrapper(train):
    """torchrun ends with 1; the message is no observation."""
    body = OPEN + (
        "    pipes.report_custom_message({'step': 3})\n"
        "    pipes.report_custom_message({'exit_code': 78})\n"
        "raise SystemExit(1)\n"
    )
    result = train(body)
    assert (
        "refused its configuration (exit code 78)" in failure(result).user_failure_data.description
    )
    # A step that fails yields no events any more, but what it logged is on the instance.
    logged = train.instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION)
    observed = [entry.asset_observation.metadata for entry in logged]
    assert [set(metadata) for metadata in observed] == [{"step"}]


def test_a_failed_process_is_a_failed_step_with_its_last_lines(train):
    body = "import sys\nfor n in range(50): print('line', n)\nsys.exit('no such domain')\n"
    found = failure(train(body)).user_failure_data
    assert "exit code 1" in found.description
    lines = found.metadata["last_lines"].value.splitlines()
    assert (len(lines), lines[0], lines[-1]) == (TAIL_LINES, "line 21", "no such domain")


def test_a_retry_resumes_and_a_configuration_error_is_not_retried(tmp_path):
    script = tmp_path / "trainer.py"
    script.write_text(
        "import pathlib, sys\n"
        "log = pathlib.Path(sys.argv[1])\n"
        "log.write_text((log.read_text() if log.exists() else '') + 'x')\n"
        "sys.exit(int(sys.argv[2]) if len(log.read_text()) < 2 else 0)\n"
    )

    def attempts(code):
        log = tmp_path / f"log-{code}"

        @dg.asset
        def training_runs(context: dg.AssetExecutionContext, pipes: TrainingPipesClient):
            command = [sys.executable, str(script), str(log), str(code)]
            return pipes.run(context=context, command=command).get_materialize_result()

        client = TrainingPipesClient(poll_seconds=0.05)
        result = dg.materialize([training_runs], resources={"pipes": client}, raise_on_error=False)
        return result.success, len(log.read_text())

    assert attempts(75) == (True, 2)
    assert attempts(78) == (False, 1)


def test_the_prefix_comes_before_the_command(train):
    client = TrainingPipesClient(poll_seconds=0.05, command_prefix=["env", "PREFIXED=yes"])
    body = "import os, sys\nsys.exit(0 if os.environ.get('PREFIXED') == 'yes' else 3)\n"
    assert train(body, client=client).success


def test_a_program_that_does_not_exist_is_named(tmp_path):
    @dg.asset
    def training_runs(context: dg.AssetExecutionContext, pipes: TrainingPipesClient):
        pipes.run(context=context, command=[str(tmp_path / "absent")])

    client = TrainingPipesClient(poll_seconds=0.05)
    result = dg.materialize([training_runs], resources={"pipes": client}, raise_on_error=False)
    assert str(tmp_path / "absent") in failure(result).error.cause.message

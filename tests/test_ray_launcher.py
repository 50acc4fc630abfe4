"""Real trainings as jobs of a Ray cluster, which is started for them; needs the extra `ray`."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from importlib.util import find_spec

import dagster as dg
import pytest

from assets.launchers import RayLauncher
from training.run_result import read_result

HAS_RAY = find_spec("ray") is not None and find_spec("dagster_ray") is not None
pytestmark = [
    pytest.mark.skipif(not HAS_RAY, reason="needs Ray: pip install -e '.[ray]' 'ray[default]'"),
    pytest.mark.filterwarnings("default"),  # of Ray's, none of which is ours
]
CLUSTER = """
import sys, ray
from ray.job_submission import JobSubmissionClient
context = ray.init(
    num_cpus=1, num_gpus=0, include_dashboard=True, dashboard_port=0, object_store_memory=10**8,
    log_to_driver=False, logging_level="error",
)
address = "http://" + context.dashboard_url
client = JobSubmissionClient(address)
for _ in range(6):  # what takes jobs is up later than the rest
    try:
        client.submit_job(entrypoint="true")
    except RuntimeError as error:
        print(error, flush=True)
    else:
        print("dashboard", address, flush=True)
        break
else:
    sys.exit("no job was taken")
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def address():
    """Of the dashboard of a cluster of one core, which ends with the tests."""
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        env={**os.environ, "RAY_AUTH_MODE": "disabled"},  # else it makes a token in the home folder
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as cluster:
        lines = []
        for line in cluster.stdout:
            lines.append(line)
            if line.startswith("dashboard "):
                break
        else:
            pytest.fail(f"is another Ray running on this machine? {''.join(lines)}")
        yield line.split()[1]
        cluster.stdin.close()


@pytest.fixture
def materialise(address, tmp_path, write_run):
    """Train a run on the cluster; give its folder, the result, and the steps observed."""

    def run(config, **settings):
        launcher = RayLauncher(
            address=address,
            python=sys.executable,
            gpus=0,
            cpus=1,
            poll_seconds=0.2,
            observe_every_seconds=0,
            environment={"OMP_NUM_THREADS": "1"},
            **settings,
        )
        out = tmp_path / "out"
        out.mkdir()

        @dg.asset
        def training_runs(context: dg.AssetExecutionContext, launcher: RayLauncher):
            if run.on_launch is not None and context.retry_number == 0:
                run.on_launch(address, out)
            launcher.launch(context, config_file=write_run(config, tmp_path / "run.json"), out=out)
            return dg.MaterializeResult()

        with dg.DagsterInstance.ephemeral() as instance:
            result = dg.materialize(
                [training_runs],
                resources={"launcher": launcher},
                instance=instance,
                raise_on_error=False,
            )
            logged = instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION)
        return out, result, [one.asset_observation.metadata["step"].value for one in logged]

    run.on_launch = None
    return run


def test_a_job_trains_to_the_end_and_reports(materialise, tiny_run):
    out, result, steps = materialise(tiny_run)
    assert result.success
    assert read_result(out / "result.json").steps == steps[-1] == 24
    assert not list(out.glob("messages-*"))


def test_a_job_that_fails_says_why_and_is_not_tried_again(materialise, tiny_run):
    steep = replace(tiny_run, schedule=replace(tiny_run.schedule, max_grad_norm=1e-9))
    _, result, _ = materialise(steep)
    (event,) = result.get_step_failure_events()
    found = event.step_failure_data.user_failure_data
    assert found.metadata["exit_code"].value == 65
    assert "the model was not updated" in found.description


def test_a_job_that_ray_stops_writes_a_checkpoint_and_goes_on_there(materialise, tiny_run):
    """As for a node that is drained: SIGTERM, time for a checkpoint, and a new job."""
    long = replace(tiny_run, schedule=replace(tiny_run.schedule, steps=3000))
    stoppers = []

    def stop_at_a_checkpoint(address, out):
        from ray.job_submission import JobStatus, JobSubmissionClient

        def stop():
            client = JobSubmissionClient(address)
            while not list(out.glob("checkpoints/step-*[0-9]")):
                pass
            for job in client.list_jobs():
                if job.submission_id and job.status == JobStatus.RUNNING:
                    client.stop_job(job.submission_id)

        stoppers.append(threading.Thread(target=stop, daemon=True))
        stoppers[0].start()

    materialise.on_launch = stop_at_a_checkpoint
    out, result, _ = materialise(long)
    stoppers[0].join()
    assert result.success
    retried = [event for event in result.all_events if event.is_step_up_for_retry]
    causes = [event.step_retry_data.error.cause.message for event in retried]
    assert len(causes) == 1
    assert "wrote a checkpoint (exit code 75)" in causes[0]
    timings = [json.loads(line) for line in (out / "timings.jsonl").read_text().splitlines()]
    assert sum(line["steps"] for line in timings) == 3000  # not a step was trained twice

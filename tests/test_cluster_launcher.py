"""Launching on a cluster, with a client that writes messages as a training does, and then fails."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import dagster as dg
import pytest
from dagster_pipes import decode_param

from assets.launchers import KubernetesLauncher, RayLauncher
from assets.launchers.cluster_launcher import ClusterLauncher

# Opening a session, Dagster itself reads two properties that it warns of.
pytestmark = [
    pytest.mark.filterwarnings("ignore:AssetExecutionContext.run_id"),
    pytest.mark.filterwarnings("ignore:.*PipesMessageReader.expected_writer"),
]
STEPS = [{"step": 1, "loss": 2.5}, {"step": 2, "loss": 1.5}]
PARTITIONS = dg.StaticPartitionsDefinition(["uniform"])


class JobFailed(RuntimeError):
    """What the client of a cluster raises, whatever the reason."""


class MadeLauncher(ClusterLauncher):
    """Attempt after attempt, a training that reports two steps and ends as told."""

    ends: list[int | None]
    """Exit code that an attempt announces; None: it is lost without a word; -1: it never began."""

    def launch(self, context, *, config_file, out):
        end = self.ends[context.retry_number]
        with (
            self.watching(context, out=out, failures=(JobFailed,)) as reader,
            dg.open_pipes_session(
                context=context,
                context_injector=dg.PipesEnvContextInjector(),
                message_reader=reader,
            ) as session,
        ):
            variables = session.get_bootstrap_env_vars()
            path = Path(decode_param(variables["DAGSTER_PIPES_MESSAGES"])["path"])
            assert out in path.parents
            if end == -1:
                raise JobFailed("no such image")
            payloads = [*STEPS, *([] if end is None else [{"exit_code": end}])]
            messages = [
                {"method": "opened", "params": {}},
                *({"method": "report_custom_message", "params": {"payload": p}} for p in payloads),
                {"method": "closed", "params": {}},
            ]
            path.write_text("".join(json.dumps(message) + "\n" for message in messages))
            if end != 0:
                raise JobFailed("job failed, last lines:\nERROR: why")


@pytest.fixture
def launch(tmp_path):
    """Materialise with a launcher of given ends; result, and the steps of its observations."""

    def run(*ends):
        @dg.asset(partitions_def=PARTITIONS)
        def training_runs(context: dg.AssetExecutionContext, launcher: MadeLauncher):
            launcher.launch(context, config_file=tmp_path / "run.json", out=tmp_path)
            return dg.MaterializeResult()

        with dg.DagsterInstance.ephemeral() as instance:
            result = dg.materialize(
                [training_runs],
                partition_key="uniform",
                resources={"launcher": MadeLauncher(ends=list(ends), observe_every_seconds=0)},
                instance=instance,
                raise_on_error=False,
            )
            logged = instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION)
        shown = [entry.asset_observation.metadata["step"].value for entry in logged]
        return result, shown

    return run


def failure(result):
    (event,) = result.get_step_failure_events()
    return event.step_failure_data.user_failure_data


def retries(result):
    return [
        event.step_retry_data.error.cause.message
        for event in result.all_events
        if event.is_step_up_for_retry
    ]


def test_reports_become_observations_and_the_file_goes(launch, tmp_path):
    result, shown = launch(0)
    assert result.success
    assert shown[-1] == 2
    assert not list(tmp_path.iterdir())


def test_what_the_training_says_of_its_end_decides(launch):
    result, shown = launch(65)
    assert "training ended with exit code 65" in failure(result).description
    assert "ERROR: why" in failure(result).description
    assert failure(result).metadata["exit_code"].value == 65
    assert shown[-1] == 2


def test_a_stopped_or_lost_training_is_started_again(launch):
    result, _ = launch(75, None, 0)
    assert result.success
    interrupted, lost = retries(result)
    assert "wrote a checkpoint (exit code 75)" in interrupted
    assert "the training was lost: it did not say how it ended" in lost
    assert "ERROR: why" in lost


def test_retries_end(launch):
    result, _ = launch(None, None, None, None)
    assert not result.success
    assert len(retries(result)) == 3


def test_one_that_never_began_is_not_started_again(launch):
    result, shown = launch(-1)
    assert retries(result) == shown == []
    assert failure(result).description == "the training did not begin. no such image"


class Recorder:
    """Stands in for a client whose package is not installed; its job fails as told."""

    def __init__(self, failure):
        self.failure, self.settings, self.run_with, self.stopped = failure, None, None, []
        self.client = self

    def __call__(self, **settings):
        self.settings = settings
        return self

    def run(self, *, context, **arguments):
        self.run_with = arguments
        if self.failure is not None:
            raise self.failure

    def stop_job(self, name):
        self.stopped.append(name)


def module(monkeypatch, name, **content):
    made = ModuleType(name)
    vars(made).update(content)
    monkeypatch.setitem(sys.modules, name, made)


@pytest.fixture
def step():
    return SimpleNamespace(has_partition_key=False)


def test_what_the_client_of_kubernetes_is_told(monkeypatch, step, tmp_path):
    client = Recorder(JobFailed("unschedulable"))
    module(monkeypatch, "dagster_k8s", PipesK8sClient=client)
    module(monkeypatch, "dagster_k8s.client", DagsterK8sError=JobFailed)
    launcher = KubernetesLauncher(
        image="i", volume_claim="c", mount_path="/m", namespace="ml", environment={"A": "b"}
    )
    with pytest.raises(dg.Failure, match=r"the training did not begin\. unschedulable"):
        launcher.launch(step, config_file=Path("run.json"), out=tmp_path)
    assert client.settings["poll_interval"] == launcher.poll_seconds
    told = client.run_with
    # A limit would count from the end of the log: one that breaks off would end the training.
    assert told["pod_wait_timeout"] == 0
    assert (told["image"], told["namespace"], told["env"]) == ("i", "ml", {"A": "b"})
    assert told["command"] == launcher.command(config_file=Path("run.json"), out=tmp_path)
    assert told["base_pod_spec"] == launcher.pod_spec()


@pytest.mark.parametrize(
    ("failure", "stops"), [(JobFailed("HTTP 500"), True), (OSError("out of reach"), False)]
)
def test_a_job_that_the_client_of_ray_gives_up_is_stopped(
    monkeypatch, step, tmp_path, failure, stops
):
    client = Recorder(failure)
    module(monkeypatch, "ray")
    module(monkeypatch, "ray.exceptions", RayError=JobFailed)
    module(monkeypatch, "dagster_ray", PipesRayJobClient=client)
    launcher = RayLauncher(address="http://head:8265", poll_seconds=3)
    with pytest.raises(dg.Failure, match=f"the training did not begin. {failure}"):
        launcher.launch(step, config_file=Path("run.json"), out=tmp_path)
    assert (client.settings["address"], client.settings["poll_interval"]) == (launcher.address, 3)
    told = client.run_with["submit_job_params"]
    name = told.pop("submission_id")
    assert told == launcher.job(config_file=Path("run.json"), out=tmp_path)
    assert client.stopped == ([name] if stops else [])

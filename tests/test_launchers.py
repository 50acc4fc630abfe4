"""Launchers: what each would start, and the file that chooses one."""

import os
import select
import subprocess
import sys
from contextlib import nullcontext

import dagster as dg
import pytest
from typer.testing import CliRunner

from assets.evaluating import evaluations
from assets.gpu_pool import POOL
from assets.launchers import (
    LAUNCHERS,
    KubernetesLauncher,
    LocalLauncher,
    RayLauncher,
    TorchrunLauncher,
    TrainingLauncher,
    load_launcher,
)
from assets.launchers import training_launcher as base
from assets.proxies import proxy_runs
from assets.skills import skill_runs
from assets.training_runs import training_runs
from orchestration.cli import app
from orchestration.device_pool import PID_TAG, pid_tags, release_dead_slots, set_slots

RUN = {"config_file": "/lake/run.json", "out": "/lake/out"}
TRAIN = ["training.run", "/lake/run.json", "--out", "/lake/out"]


@pytest.fixture
def write(tmp_path):
    def launcher_file(text):
        path = tmp_path / "launcher.yaml"
        path.write_text(text)
        return path

    return launcher_file


def test_local_is_one_process_tied_to_this_one():
    command = LocalLauncher().command(**RUN)
    assert command == [sys.executable, "-m", *TRAIN, "--parent-pid", str(os.getpid())]


def test_torchrun_is_several_and_tied_too():
    command = TorchrunLauncher(processes=4, max_restarts=2).command(**RUN)
    assert command[:6] == [
        sys.executable, "-m", "training.tied_process", str(os.getpid()), "--", sys.executable,
    ]  # fmt: skip
    assert command[6:] == [
        "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=4", "--max-restarts=2",
        "-m", *TRAIN,
    ]  # fmt: skip


def test_a_pod_mounts_the_lake_and_asks_for_its_gpus():
    pod = KubernetesLauncher(
        image="registry/mixwright:1", volume_claim="lake", mount_path="/lake", gpus=2
    )
    spec = pod.pod_spec()
    (container,) = spec["containers"]
    assert container["resources"]["limits"] == {"memory": "16Gi", "nvidia.com/gpu": "2"}
    shared = {"name": "shared-memory"}
    assert container["volumeMounts"] == [
        {"name": "lake", "mountPath": "/lake"},
        shared | {"mountPath": "/dev/shm"},
    ]
    assert spec["volumes"] == [
        {"name": "lake", "persistentVolumeClaim": {"claimName": "lake"}},
        shared | {"emptyDir": {"medium": "Memory"}},  # more than 64 MiB, for NCCL
    ]
    assert (spec["restartPolicy"], spec["terminationGracePeriodSeconds"]) == ("Never", 120)
    assert pod.command(**RUN)[-7:] == ["--standalone", "--nproc-per-node=2", "-m", *TRAIN]
    one = pod.model_copy(update={"gpus": 0})
    assert one.command(**RUN) == ["python", "-m", *TRAIN]
    (container,) = one.pod_spec()["containers"]
    assert container["resources"]["limits"] == {"memory": "16Gi"}
    assert len(container["volumeMounts"]) == len(one.pod_spec()["volumes"]) == 1


def test_a_ray_job_is_a_shell_command():
    job = RayLauncher(address="http://head:8265", cpus=2, environment={"NCCL_DEBUG": "INFO"})
    told = job.job(config_file="/lake/a run.json", out="/lake/out")
    assert told == {
        "entrypoint": "python -m training.run '/lake/a run.json' --out /lake/out",
        "entrypoint_num_cpus": 2.0,
        "entrypoint_num_gpus": 1.0,
        # Ray's own grace, 3 seconds, may be too short for a checkpoint.
        "runtime_env": {"env_vars": {"NCCL_DEBUG": "INFO", "RAY_JOB_STOP_WAIT_TIME_S": "120"}},
    }
    two = RayLauncher(address="http://head:8265", gpus=2, runs=3, python="/env/bin/python")
    command = two.job(**RUN)["entrypoint"]
    assert command.startswith("/env/bin/python -m torch.distributed.run --standalone --nproc-per-")
    assert two.slots == 3


def test_a_file_chooses_the_launcher(write):
    assert load_launcher(write("launcher: torchrun\nprocesses: 2\n")) == TorchrunLauncher(
        processes=2
    )
    assert load_launcher(write("launcher: local\n")) == LocalLauncher()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("launcher: slurm", "launcher: must be one of kubernetes, local, ray, torchrun, got 'slur"),
        ("- local", "launcher: must be one of"),
        ("launcher: local\nthread: 2", "thread: unknown key; the launcher 'local' has threads, "),
        ("launcher: torchrun\nprocesses: 0", "processes: .* greater than or equal to 1, got 0"),
        ("launcher: [", "cannot be read as a launcher file"),
    ],
)
def test_refuses(write, text, message):
    with pytest.raises(ValueError, match=message):
        load_launcher(write(text))


def test_a_package_that_is_not_installed_is_named(write, monkeypatch):
    monkeypatch.setattr("assets.launchers.find_spec", lambda name: None)
    path = write("launcher: ray\naddress: http://head:8265\n")
    with pytest.raises(ValueError, match=r"needs the package dagster-ray: pip install -e '\.\[ray"):
        load_launcher(path)
    with pytest.raises(ValueError, match=r"launcher\.yaml: cannot be read"):
        load_launcher(path.with_name("absent-launcher.yaml"))


def test_the_environment_names_the_file(write, monkeypatch):
    from orchestration import deployments

    monkeypatch.delenv("MIXWRIGHT_LAUNCHER", raising=False)
    assert deployments.launcher() == LocalLauncher()
    monkeypatch.setenv("MIXWRIGHT_LAUNCHER", str(write("launcher: torchrun\nprocesses: 3\n")))
    assert deployments.launcher() == TorchrunLauncher(processes=3)
    monkeypatch.setenv("MIXWRIGHT_LAUNCHER", str(write("launcher: no")))
    result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 2
    assert "launcher: must be one of" in result.stderr


def test_all_that_runs_a_model_shares_a_pool_and_trainings_leave_retries_to_the_client():
    for asset in (training_runs, proxy_runs, skill_runs, evaluations):
        assert asset.op.pool == POOL
    assert training_runs.op.retry_policy is None


@pytest.mark.parametrize(("gpus", "slots"), [(0, None), (3, 3)])
def test_a_backfill_by_command_runs_as_many_models_as_there_are_gpus(gpus, slots, monkeypatch):
    from rich.console import Console

    from orchestration import demo, deployments

    monkeypatch.setattr(demo, "STAGES", ())
    visible = ",".join(map(str, range(gpus)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with dg.DagsterInstance.ephemeral() as instance:
        monkeypatch.setattr(deployments, "instance", lambda: nullcontext(instance))
        demo.materialise_all(deployments.lake(), Console(quiet=True))
        keys = instance.event_log_storage.get_concurrency_keys()
        assert keys == (set() if slots is None else {POOL})
        if slots is not None:
            info = instance.event_log_storage.get_concurrency_info(POOL)
            assert info.slot_count == slots


def test_every_launcher_can_be_named():
    assert all(issubclass(kind, TrainingLauncher) for kind in LAUNCHERS.values())


@pytest.mark.parametrize(
    ("visible", "gpus"), [("0,1,3", 3), ("", 0), ("-1", 0), ("GPU-a1b2", 1), (None, 2)]
)
def test_gpus_are_counted_without_torch(monkeypatch, tmp_path, visible, gpus):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(base, "GPUS_OF_LINUX", tmp_path)
    assert base.count_gpus() == gpus


def test_gpus_are_counted_by_their_devices_where_the_driver_is_hidden(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(base, "GPUS_OF_LINUX", tmp_path / "hidden")
    monkeypatch.setattr(base, "DEVICE_FILES", tmp_path)
    assert base.count_gpus() == 0
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert base.count_gpus() == 2


def test_slots_are_gpus_divided_by_the_processes_of_a_training(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    assert LocalLauncher().slots == 4
    assert TorchrunLauncher(processes=2).slots == 2
    assert TorchrunLauncher(processes=8).slots == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert LocalLauncher().slots == 6


def test_a_tied_command_ends_with_its_launcher():
    ready, started = os.pipe()
    child = "import os, signal, sys; os.write(int(sys.argv[1]), b'x'); signal.pause()"
    launcher = (
        "import os, subprocess, sys\n"
        "tied = [sys.executable, '-m', 'training.tied_process', str(os.getpid()), '--']\n"
        "subprocess.Popen([*tied, sys.executable, '-c', sys.argv[1], sys.argv[2]],"
        " pass_fds=[int(sys.argv[2])]).wait()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", launcher, child, str(started)], pass_fds=[started]
    ) as process:
        os.close(started)
        assert os.read(ready, 1) == b"x"
        process.kill()
        ended, _, _ = select.select([ready], [], [], 60)  # its end closes the pipe
    assert ended
    assert os.read(ready, 1) == b""
    os.close(ready)


def test_a_tied_command_does_not_start_without_its_launcher():
    command = [sys.executable, "-m", "training.tied_process", "1", "--", "false"]
    assert subprocess.run(command, check=False).returncode == 75


def test_slots_of_dead_processes_are_given_back(tmp_path):
    """A killed run in a process of its own leaves its slot claimed: nobody else would free it."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        assert release_dead_slots(instance) == 0  # no pool yet
        set_slots(instance, 3)
        storage = instance.event_log_storage
        job = dg.JobDefinition(name="j", graph_def=dg.GraphDefinition(name="g"))
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        tags = ({PID_TAG: str(dead.pid)}, pid_tags(), {})
        runs = [
            instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tag)
            for tag in tags
        ]
        for one in runs:
            assert storage.claim_concurrency_slot(POOL, one.run_id, "training_runs").is_claimed
        assert release_dead_slots(instance) == 1
        held = {slot.run_id for slot in storage.get_concurrency_info(POOL).claimed_slots}
        assert held == {runs[1].run_id, runs[2].run_id}

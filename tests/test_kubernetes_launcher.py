"""A pod as the packages of Kubernetes see it, and as a made server of its interface runs it."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from urllib.parse import urlsplit

import dagster as dg
import pytest

from assets.launchers import KubernetesLauncher
from training.run_result import read_result

pytestmark = [
    pytest.mark.skipif(
        find_spec("dagster_k8s") is None, reason="needs dagster-k8s: pip install -e '.[kubernetes]'"
    ),
    pytest.mark.filterwarnings("default"),  # of dagster-k8s, none of which is ours
]


def launcher(**settings):
    return KubernetesLauncher(
        image="registry/mixwright:1", volume_claim="lake", mount_path="/lake", **settings
    )


@pytest.mark.parametrize("gpus", [0, 1, 8])
def test_the_pod_is_one_that_kubernetes_knows(gpus):
    """Nothing in it is dropped when the client's models read it."""
    from dagster_k8s.pipes import build_pod_body
    from kubernetes.client import ApiClient, V1Container, V1PodSpec, V1Volume, V1VolumeMount

    made = launcher(gpus=gpus, environment={"NCCL_DEBUG": "WARN"})
    body = build_pod_body(
        pod_name="pod",
        image=made.image,
        command=made.command(config_file="/lake/run.json", out="/lake/out"),
        env_vars={"DAGSTER_PIPES_CONTEXT": "c", "DAGSTER_PIPES_MESSAGES": "m", **made.environment},
        base_pod_meta=None,
        base_pod_spec=made.pod_spec(),
    )
    spec = ApiClient().sanitize_for_serialization(body)["spec"]
    (container,) = spec["containers"]
    read = [
        (V1PodSpec, spec),
        (V1Container, container),
        *((V1VolumeMount, mount) for mount in container["volumeMounts"]),
        *((V1Volume, volume) for volume in spec["volumes"]),
    ]
    for model, part in read:
        assert set(part) <= set(model.attribute_map.values())
    assert {one["name"]: one["value"] for one in container["env"]}["NCCL_DEBUG"] == "WARN"
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["volumes"]}
    assert container["resources"]["limits"].get("nvidia.com/gpu") == (str(gpus) if gpus else None)
    assert container["image"] == "registry/mixwright:1"


class Pods:
    """Runs pods as processes of this machine."""

    def __init__(self, python):
        self._python = python
        self.processes, self.specs, self.deleted = {}, {}, []

    def create(self, pod):
        (container,) = pod["spec"]["containers"]
        name = pod["metadata"]["name"]
        self.specs[name] = pod
        variables = {entry["name"]: entry["value"] for entry in container["env"]}
        self.processes[name] = subprocess.Popen(
            [self._python, *container["command"][1:]],
            env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return pod

    def status(self, name):
        process = self.processes[name]
        code = process.poll()
        state = {"running": {}} if code is None else {"terminated": {"exitCode": code % 256}}
        status = {"name": "training", "ready": code is None, "restartCount": 0, "state": state}
        status |= {"image": "i", "imageID": "i"}
        return self.specs[name] | {"status": {"containerStatuses": [status]}}

    def delete(self, name):
        self.deleted.append(name)
        if self.processes[name].poll() is None:
            self.processes[name].send_signal(signal.SIGTERM)
        self.processes[name].wait()


@contextmanager
def served(pods):
    """Serve the part of the interface that the client uses; the server's address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self, content):
            text = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(text)

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(pods.create(json.loads(body)))

        def do_GET(self):
            path = urlsplit(self.path).path
            if path.endswith("/log"):
                self.answer(b"ERROR: why\n")
            elif path.endswith("/pods"):
                items = [pods.status(name) for name in pods.specs if name in self.path]
                self.answer({"kind": "PodList", "items": items})
            else:
                self.answer({"kind": "EventList", "items": []})

        def do_DELETE(self):
            pods.delete(urlsplit(self.path).path.rpartition("/")[2])
            self.answer({})

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def materialise(tmp_path, monkeypatch, write_run):
    """Train a run in a pod; its folder, the result, the steps observed, and the pods."""
    pods = Pods(sys.executable)

    def run(config):
        out = tmp_path / "out"
        out.mkdir()

        @dg.asset
        def training_runs(context: dg.AssetExecutionContext, launcher: KubernetesLauncher):
            launcher.launch(context, config_file=write_run(config, tmp_path / "run.json"), out=out)
            return dg.MaterializeResult()

        with served(pods) as address, dg.DagsterInstance.ephemeral() as instance:
            kubeconfig = {
                "clusters": [{"name": "made", "cluster": {"server": address}}],
                "users": [{"name": "made", "user": {}}],
                "contexts": [{"name": "made", "context": {"cluster": "made", "user": "made"}}],
                "current-context": "made",
            }
            (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
            monkeypatch.setattr(
                "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION",
                str(tmp_path / "kubeconfig"),
            )
            monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
            result = dg.materialize(
                [training_runs],
                resources={"launcher": launcher(gpus=0, poll_seconds=0.2, observe_every_seconds=0)},
                instance=instance,
                raise_on_error=False,
            )
            logged = instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION)
        steps = [one.asset_observation.metadata["step"].value for one in logged]
        return out, result, steps, pods

    return run


def test_a_pod_trains_to_the_end_and_reports(materialise, tiny_run):
    out, result, steps, pods = materialise(tiny_run)
    assert result.success
    assert read_result(out / "result.json").steps == steps[-1] == 24
    assert pods.deleted == list(pods.specs)
    assert not list(out.glob("messages-*"))


def test_a_pod_that_fails_says_why_and_is_not_tried_again(materialise, tiny_run):
    steep = replace(tiny_run, schedule=replace(tiny_run.schedule, max_grad_norm=1e-9))
    _, result, _, pods = materialise(steep)
    (event,) = result.get_step_failure_events()
    found = event.step_failure_data.user_failure_data
    assert found.metadata["exit_code"].value == 65
    assert "ERROR: why" in found.description  # the log of the pod
    assert len(pods.specs) == 1

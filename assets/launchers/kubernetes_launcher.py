"""Trains in a pod of Kubernetes, through the Pipes client of dagster-k8s.

The pod sees the folder of the lake at the same path, by a volume claim, so configuration, shards,
checkpoints and results need no copying. Its log carries the messages. The client knows only that a
pod failed, not its exit code: a wrong configuration is tried again as often as anything else.
"""

from pathlib import Path

import dagster as dg
from pydantic import Field

from assets.launchers.training_launcher import (
    RUN_MODULE,
    TrainingLauncher,
    run_arguments,
    torchrun_command,
)

CONTAINER = "training"
_VOLUME = "lake"
Spec = dict[str, object]


class KubernetesLauncher(TrainingLauncher):
    """One pod per training, on one node."""

    image: str
    """Container image with this project installed."""
    volume_claim: str
    """PersistentVolumeClaim that holds the lake."""
    mount_path: str
    """Where it is mounted: the folder of the lake, or one above it, the same path as here."""
    namespace: str = "default"
    """Where the pod runs."""
    gpus: int = Field(default=1, ge=0)
    """GPUs of the pod; with more than one, as many processes under torchrun."""
    cpus: str = "4"
    """CPU request of the pod."""
    memory: str = "16Gi"
    """Memory request and limit of the pod."""
    grace_seconds: int = Field(default=120, ge=0)
    """Time between SIGTERM and SIGKILL: long enough for a checkpoint."""
    start_seconds: float = Field(default=600.0, gt=0)
    """Longest wait for the pod to start; a cluster that scales up takes minutes."""
    runs: int = Field(default=1, ge=1)
    """Trainings that the cluster takes at a time."""

    def command(self, *, config_file: Path, out: Path) -> list[str]:
        """Return what the container executes."""
        arguments = run_arguments(config_file, out)
        if self.gpus > 1:
            options = ["--standalone", f"--nproc-per-node={self.gpus}"]
            return torchrun_command("python", arguments, options)
        return ["python", "-m", RUN_MODULE, *arguments]

    def pod_spec(self) -> Spec:
        """Return the pod without image, command and environment, as Kubernetes spells it."""
        limits: dict[str, object] = {"memory": self.memory}
        if self.gpus:
            limits["nvidia.com/gpu"] = str(self.gpus)
        return {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": self.grace_seconds,
            "containers": [
                {
                    "name": CONTAINER,
                    "resources": {
                        "requests": {"cpu": self.cpus, "memory": self.memory},
                        "limits": limits,
                    },
                    "volumeMounts": [{"name": _VOLUME, "mountPath": self.mount_path}],
                }
            ],
            "volumes": [
                {"name": _VOLUME, "persistentVolumeClaim": {"claimName": self.volume_claim}}
            ],
        }

    def launch(self, context: dg.AssetExecutionContext, *, config_file: Path, out: Path) -> None:
        """Run the pod to its end; an interrupted step deletes it."""
        from dagster_k8s import PipesK8sClient

        PipesK8sClient().run(
            context=context,
            image=self.image,
            command=self.command(config_file=config_file, out=out),
            namespace=self.namespace,
            base_pod_spec=self.pod_spec(),
            pod_wait_timeout=self.start_seconds,
        )

    @property
    def slots(self) -> int:
        """As configured."""
        return self.runs

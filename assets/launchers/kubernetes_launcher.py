"""Trains in a pod of Kubernetes, through the Pipes client of dagster-k8s.

The pod sees the folder of the lake at the same path, by a volume claim, so configuration, shards,
checkpoints and results need no copying, and messages come through a file there.
"""

from pathlib import Path

import dagster as dg
from pydantic import Field

from assets.launchers.cluster_launcher import ClusterLauncher

CONTAINER = "training"
_VOLUME = "lake"
_SHARED_MEMORY = "shared-memory"
Spec = dict[str, object]


class KubernetesLauncher(ClusterLauncher):
    """One pod per training, on one node."""

    image: str
    """Container image with this project installed."""
    volume_claim: str
    """PersistentVolumeClaim that holds the lake."""
    mount_path: str
    """Where it is mounted: the folder of the lake, or one above it, the same path as here."""
    namespace: str = "default"
    """Where the pod runs."""
    cpus: str = "4"
    """CPU request of the pod."""
    memory: str = "16Gi"
    """Memory request and limit of the pod."""
    grace_seconds: int = Field(default=120, ge=0)
    """Time between SIGTERM and SIGKILL: long enough for a checkpoint."""
    poll_seconds: float = Field(default=10.0, gt=0)
    """Time between two looks at the state of the pod, seconds."""

    def pod_spec(self) -> Spec:
        """Return the pod without image, command and environment, as Kubernetes spells it."""
        limits: dict[str, object] = {"memory": self.memory}
        if self.gpus:
            limits["nvidia.com/gpu"] = str(self.gpus)
        mounts: list[Spec] = [{"name": _VOLUME, "mountPath": self.mount_path}]
        volumes: list[Spec] = [
            {"name": _VOLUME, "persistentVolumeClaim": {"claimName": self.volume_claim}}
        ]
        if self.gpus > 1:
            # NCCL exchanges through it; a container has 64 MiB unless told otherwise.
            mounts.append({"name": _SHARED_MEMORY, "mountPath": "/dev/shm"})
            volumes.append({"name": _SHARED_MEMORY, "emptyDir": {"medium": "Memory"}})
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
                    "volumeMounts": mounts,
                }
            ],
            "volumes": volumes,
        }

    def launch(self, context: dg.AssetExecutionContext, *, config_file: Path, out: Path) -> None:
        """Run the pod to its end; an interrupted step deletes it."""
        from dagster_k8s import PipesK8sClient
        from dagster_k8s.client import DagsterK8sError

        with self.watching(context, out=out, failures=(DagsterK8sError,)) as reader:
            PipesK8sClient(message_reader=reader, poll_interval=self.poll_seconds).run(
                context=context,
                image=self.image,
                command=self.command(config_file=config_file, out=out),
                namespace=self.namespace,
                env=dict(self.environment),
                base_pod_spec=self.pod_spec(),
                pod_wait_timeout=0,  # of the whole training: none
            )

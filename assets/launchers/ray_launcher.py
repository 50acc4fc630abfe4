"""Trains as a job of a Ray cluster, through the Pipes client of dagster-ray.

The nodes see the folder of the lake at the same path (a network file system).
"""

import shlex
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import dagster as dg
from pydantic import Field

from assets.launchers.cluster_launcher import ClusterLauncher


class RayLauncher(ClusterLauncher):
    """One job per training, on one node."""

    address: str
    """Of the cluster's dashboard, for example http://ray-head:8265."""
    cpus: float = Field(default=4.0, gt=0)
    """CPUs of the job."""
    grace_seconds: int = Field(default=120, ge=0)
    """Time between SIGTERM and SIGKILL: long enough for a checkpoint. Ray's own is 3 seconds."""
    poll_seconds: float = Field(default=1.0, gt=0)
    """Time between two looks at the state of the job, seconds."""

    def job(self, *, config_file: Path, out: Path) -> dict[str, object]:
        """Return what is submitted, without the name of the job."""
        return {
            "entrypoint": shlex.join(self.command(config_file=config_file, out=out)),
            "entrypoint_num_cpus": self.cpus,
            "entrypoint_num_gpus": float(self.gpus),
            "runtime_env": {
                "env_vars": {
                    **self.environment,
                    "RAY_JOB_STOP_WAIT_TIME_S": str(self.grace_seconds),
                }
            },
        }

    def launch(self, context: dg.AssetExecutionContext, *, config_file: Path, out: Path) -> None:
        """Run the job to its end; an interrupted step stops it."""
        from dagster_ray import PipesRayJobClient
        from ray.exceptions import RayError

        name = f"mixwright-{uuid4().hex}"
        # RuntimeError: the job failed, or a request did. OSError: the cluster is out of reach.
        failures = (RuntimeError, OSError, RayError)
        with self.watching(context, out=out, failures=failures) as reader:
            client = PipesRayJobClient(
                address=self.address, message_reader=reader, poll_interval=self.poll_seconds
            )
            try:
                client.run(
                    context=context,
                    submit_job_params={
                        **self.job(config_file=config_file, out=out),
                        "submission_id": name,
                    },
                )
            except RuntimeError:
                # The client gives up on a job at the first request that fails; it would train on.
                with suppress(RuntimeError, OSError):
                    client.client.stop_job(name)
                raise

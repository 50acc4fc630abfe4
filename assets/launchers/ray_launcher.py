"""Trains as a job of a Ray cluster, through the Pipes client of dagster-ray.

The nodes see the folder of the lake at the same path (a network file system). Like Kubernetes, Ray
tells only that a job failed.
"""

import shlex
from pathlib import Path

import dagster as dg
from pydantic import Field

from assets.launchers.training_launcher import (
    RUN_MODULE,
    TrainingLauncher,
    run_arguments,
    torchrun_command,
)


class RayLauncher(TrainingLauncher):
    """One job per training, on one node."""

    address: str
    """Of the cluster's dashboard, for example http://ray-head:8265."""
    gpus: int = Field(default=1, ge=0)
    """GPUs of the job; with more than one, as many processes under torchrun."""
    cpus: float = Field(default=4.0, gt=0)
    """CPUs of the job."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Environment variables of the job."""
    runs: int = Field(default=1, ge=1)
    """Trainings that the cluster takes at a time."""

    def entrypoint(self, *, config_file: Path, out: Path) -> str:
        """Return the shell command of the job."""
        arguments = run_arguments(config_file, out)
        if self.gpus > 1:
            options = ["--standalone", f"--nproc-per-node={self.gpus}"]
            return shlex.join(torchrun_command("python", arguments, options))
        return shlex.join(["python", "-m", RUN_MODULE, *arguments])

    def launch(self, context: dg.AssetExecutionContext, *, config_file: Path, out: Path) -> None:
        """Run the job to its end; an interrupted step stops it."""
        from dagster_ray import PipesRayJobClient

        PipesRayJobClient(address=self.address).run(
            context=context,
            submit_job_params={
                "entrypoint": self.entrypoint(config_file=config_file, out=out),
                "entrypoint_num_cpus": self.cpus,
                "entrypoint_num_gpus": float(self.gpus),
                "runtime_env": {"env_vars": dict(self.environment)},
            },
        )

    @property
    def slots(self) -> int:
        """As configured."""
        return self.runs

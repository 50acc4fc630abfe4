"""Trains on this machine: one process, or several under torchrun."""

import os
import sys
from pathlib import Path

import dagster as dg
from pydantic import Field

from assets.launchers.training_launcher import (
    RUN_MODULE,
    TrainingLauncher,
    local_slots,
    run_arguments,
    torchrun_command,
)
from assets.pipes import TrainingPipesClient


class LocalLauncher(TrainingLauncher):
    """One process of this machine."""

    threads: int = Field(default=1, ge=1)
    """CPU threads of the process (OMP_NUM_THREADS)."""
    grace_seconds: float = Field(default=30.0, ge=0)
    """Time between SIGTERM and SIGKILL, seconds."""
    poll_seconds: float = Field(default=0.5, gt=0)
    """Time between two looks at the messages, seconds."""
    observe_every_seconds: float = Field(default=5.0, ge=0)
    """Least time between two observations, seconds."""

    def command(self, *, config_file: Path, out: Path) -> list[str]:
        """Return what is executed."""
        arguments = run_arguments(config_file, out)
        return [sys.executable, "-m", RUN_MODULE, *arguments, "--parent-pid", str(os.getpid())]

    def launch(self, context: dg.AssetExecutionContext, *, config_file: Path, out: Path) -> None:
        """Run the process to its end; it does not outlive the step."""
        client = TrainingPipesClient(
            grace_seconds=self.grace_seconds,
            poll_seconds=self.poll_seconds,
            observe_every_seconds=self.observe_every_seconds,
        )
        client.run(
            context=context,
            command=self.command(config_file=config_file, out=out),
            env={"OMP_NUM_THREADS": str(self.threads)},
        )

    @property
    def slots(self) -> int:
        """One per GPU, or per core if there is no GPU."""
        return local_slots()


class TorchrunLauncher(LocalLauncher):
    """Several processes of this machine, one per GPU, under torchrun."""

    processes: int = Field(ge=1)
    """Processes of one training."""
    max_restarts: int = Field(default=0, ge=0)
    """Times that torchrun starts all processes again when one has died; they resume."""

    def command(self, *, config_file: Path, out: Path) -> list[str]:
        """Return what is executed."""
        options = [
            "--standalone",
            f"--nproc-per-node={self.processes}",
            f"--max-restarts={self.max_restarts}",
        ]
        command = torchrun_command(sys.executable, run_arguments(config_file, out), options)
        return [sys.executable, "-m", "training.tied_process", str(os.getpid()), "--", *command]

    @property
    def slots(self) -> int:
        """GPUs, or cores if there is no GPU, divided by the processes of a training."""
        return local_slots(self.processes)

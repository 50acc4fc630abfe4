"""What launching on a cluster has in common: messages, observations and the end of a training.

Messages go through a file in the folder of the run, which the cluster sees under the same path.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from pydantic import Field

from assets.launchers.training_launcher import (
    RUN_MODULE,
    TrainingLauncher,
    run_arguments,
    torchrun_command,
)
from assets.observer import Observer
from assets.pipe_messages import WholeLineMessageReader
from assets.training_outcome import refuse_lost


class ClusterLauncher(TrainingLauncher):
    """One job per training, on one node of a cluster."""

    python: str = "python"
    """Interpreter on the cluster, with this project installed."""
    gpus: int = Field(default=1, ge=0)
    """GPUs of a training; with more than one, as many processes under torchrun."""
    environment: Mapping[str, str] = Field(default_factory=dict)
    """Environment variables of the training."""
    runs: int = Field(default=1, ge=1)
    """Trainings that the cluster takes at a time."""
    observe_every_seconds: float = Field(default=5.0, ge=0)
    """Least time between two observations, seconds."""

    def command(self, *, config_file: Path, out: Path) -> list[str]:
        """Return what is executed on the cluster."""
        arguments = run_arguments(config_file, out)
        if self.gpus > 1:
            options = ["--standalone", f"--nproc-per-node={self.gpus}"]
            return torchrun_command(self.python, arguments, options)
        return [self.python, "-m", RUN_MODULE, *arguments]

    @contextmanager
    def watching(
        self,
        context: dg.AssetExecutionContext,
        *,
        out: Path,
        failures: tuple[type[Exception], ...],
    ) -> Iterator[WholeLineMessageReader]:
        """Run a client of Pipes in this, with the reader of messages that it gives.

        Args:
            context: The step.
            out: Folder of the run.
            failures: What the client raises when a job failed.

        Raises:
            dg.Failure: The training ended by itself, or it never began to report.
            dg.RetryRequested: It was stopped or lost and can go on at its last checkpoint.
        """
        observer = Observer(context, least_seconds=self.observe_every_seconds)
        reader = WholeLineMessageReader(folder=out, observe=observer.observe)
        try:
            yield reader
        except failures as error:
            refuse_lost(str(error), reader.messages)
        finally:
            observer.observe(reader.messages, at_once=True)

    @property
    def slots(self) -> int:
        """As configured."""
        return self.runs

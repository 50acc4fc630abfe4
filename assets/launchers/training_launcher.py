"""What a launcher is: it runs `python -m training.run` somewhere, to its end."""

import os
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

RUN_MODULE = "training.run"
GPUS_OF_LINUX = Path("/proc/driver/nvidia/gpus")
DEVICE_FILES = Path("/dev")


class TrainingLauncher(dg.ConfigurableResource):  # type: ignore[type-arg]  # generic over itself
    """Where a training process runs. The step that launches it waits for its end."""

    def launch(self, context: dg.AssetExecutionContext, *, config_file: Path, out: Path) -> None:
        """Train; what the process reports becomes observations of the asset.

        Args:
            context: The step.
            config_file: The run, where the process can read it.
            out: Folder of the run, where the process can write it.

        Raises:
            dg.Failure: The training did not finish; whether another attempt helps is in it.
        """
        raise NotImplementedError

    @property
    def slots(self) -> int:
        """Trainings that may run at a time."""
        raise NotImplementedError


def run_arguments(config_file: Path, out: Path) -> list[str]:
    """Return the arguments of the training module."""
    return [str(config_file), "--out", str(out)]


def torchrun_command(python: str, arguments: Sequence[str], options: Sequence[str]) -> list[str]:
    """Return the command that trains with several processes.

    Args:
        python: Interpreter.
        arguments: Of the training module.
        options: Of torchrun.
    """
    return [python, "-m", "torch.distributed.run", *options, "-m", RUN_MODULE, *arguments]


def count_gpus() -> int:
    """Count the NVIDIA GPUs that this process may use, without loading CUDA or torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    if GPUS_OF_LINUX.is_dir():
        return len(list(GPUS_OF_LINUX.iterdir()))
    # A sandbox may show the devices and not what the driver says of them.
    return len(list(DEVICE_FILES.glob("nvidia[0-9]*")))


def local_slots(processes: int = 1) -> int:
    """Trainings that this machine takes: one per `processes` GPUs, or cores if there is no GPU."""
    return max(1, (count_gpus() or os.cpu_count() or 1) // processes)

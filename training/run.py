"""Trains one model in a process of its own: `python -m training.run CONFIG --out DIR`.

It can be stopped at any time and started again with the same command; it then continues from its
last checkpoint. Launched through Dagster Pipes it streams its progress back; otherwise it prints.

    exit code   meaning
    0           finished, or was finished already
    1           a defect; the traceback tells
    65          the loss is not finite: another attempt would end the same way
    70          no batch can be drawn: a domain is used up
    71          a step does not fit into the memory of the device
    73          another process trains in this folder
    74          a file could not be written, for instance on a full disk
    75          stopped by SIGTERM or SIGINT after a checkpoint: start again to continue
                (also: another process of the training was killed; it goes on at the last one)
    78          configuration, shards or the state in the folder are wrong

Started by torchrun the same command trains on several processes, on one machine or more; --out is
then a folder that all of them see. torchrun itself ends with 1 whatever the code of its processes.

Importing torch takes seconds, so signals are handled before. A process that was launched (Pipes, or
--parent-pid) gets SIGTERM from the kernel when its parent dies, however that happens: no orphan
goes on training while a retry starts. Under torchrun the parent is torchrun. The kernel ties this
to the parent's thread: launch it from a thread that lives as long as the run. Started by hand it is
not tied to the shell.
"""

import argparse
import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dagster_pipes import PipesContext

    from training.config import RunConfig
    from training.run_result import RunResult
    from training.step_report import ProgressCallback, StepReport

EXIT_DIVERGED = 65
EXIT_REFUSED = 70
EXIT_MEMORY = 71
EXIT_LOCKED = 73
EXIT_IO = 74
EXIT_STOPPED = 75
EXIT_CONFIG = 78

SECONDS_BETWEEN_MESSAGES = 0.5

_LOG = logging.getLogger("training.run")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PIPES_VARIABLE = "DAGSTER_PIPES_CONTEXT"
_RANK_VARIABLE = "RANK"  # set by torchrun, as the next
_LOCAL_RANK_VARIABLE = "LOCAL_RANK"


class StopFlag:
    """Remembers that a signal asked the run to stop."""

    def __init__(self) -> None:
        self.signal: int | None = None

    @classmethod
    def on_signals(cls) -> "StopFlag":
        """Install a flag that SIGTERM and SIGINT set."""
        flag = cls()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, flag.set)
        return flag

    def set(self, number: int, _frame: FrameType | None = None) -> None:
        """Remember a signal; a signal handler."""
        self.signal = number

    def __call__(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None


def die_with_parent(parent_pid: int | None) -> bool:
    """Ask the kernel for SIGTERM when the parent dies; return whether it is still alive.

    Args:
        parent_pid: The parent as the launcher knows it; None: the one at this moment. Only the
            former notices a parent that died before this call.
    """
    expected = os.getppid() if parent_pid is None else parent_pid
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    return os.getppid() == expected


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.run", description="Train one model.")
    parser.add_argument("config", type=Path, help="the run, JSON or YAML")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="replace a value of the run, for example schedule.steps=200",
    )
    parser.add_argument("--plain", action="store_true", help="print a line per report, no \\r")
    parser.add_argument("--parent-pid", type=int, help="end when this parent process ends")
    return parser.parse_args(arguments)


def _printer(plain: bool) -> Callable[["StepReport"], None]:
    def show(report: "StepReport") -> None:
        text = (
            f"step {report.step}/{report.steps}  loss {report.loss:.4f}  "
            f"{report.tokens_per_second:,.0f} tokens/s"
        )
        end = "\n" if plain or report.step == report.steps else "\r"
        sys.stderr.write(text + end)
        sys.stderr.flush()

    return show


def _pipes_sender(pipes: "PipesContext", stop: StopFlag) -> Callable[["StepReport"], None]:
    def send(report: "StepReport") -> None:
        message = {
            "step": report.step,
            "steps": report.steps,
            "loss": report.loss,
            "weights": report.weights,
            "heldout": report.heldout,
            "tokens_per_second": report.tokens_per_second,
        }
        try:
            pipes.report_custom_message(message)
        except OSError as error:  # the launcher is gone and took the message file with it
            _LOG.warning("cannot report to Dagster (%s); stopping", error)
            stop.set(signal.SIGTERM)

    return send


def _throttled(show: Callable[["StepReport"], None]) -> Callable[["StepReport"], None]:
    """Pass on the first and the last report, evaluations, and one of the others now and then."""
    last = -SECONDS_BETWEEN_MESSAGES

    def maybe(report: "StepReport") -> None:
        nonlocal last
        now = time.monotonic()
        due = now - last >= SECONDS_BETWEEN_MESSAGES
        if due or report.step == report.steps or report.heldout is not None:
            last = now
            show(report)

    return maybe


def run_training(
    config: "RunConfig", out: Path, *, show: "ProgressCallback", stop: StopFlag
) -> int:
    """Train and return the exit code; what went wrong is logged as one error.

    Args:
        config: The run.
        out: Its folder.
        show: Told of the first and last step, of evaluations, and now and then of the others.
        stop: Asked before every step.
    """
    from training.checkpoint import RunLocked
    from training.event_files import EventFile
    from training.loop import BatchRefused, OutOfMemory, RunRejected, TrainingDiverged, train
    from training.ranks import RanksRejected, join_ranks
    from training.shared_end import SharedEnd

    codes: dict[type[Exception], int] = {
        RunRejected: EXIT_CONFIG,
        RunLocked: EXIT_LOCKED,
        TrainingDiverged: EXIT_DIVERGED,
        BatchRefused: EXIT_REFUSED,
        OutOfMemory: EXIT_MEMORY,
        OSError: EXIT_IO,
    }
    seldom = _throttled(show)
    events = EventFile(out / "tensorboard") if config.tensorboard else None

    def tell(report: "StepReport") -> None:
        if events is not None:
            events.add_report(report)
        seldom(report)

    try:
        with (
            join_ranks(os.environ, device=config.device) as ranks,
            SharedEnd(ranks, codes=codes, resumable=EXIT_STOPPED) as end,
            _files_named(out),
        ):
            result = train(config, out, ranks=ranks, on_progress=tell, should_stop=stop)
    except RanksRejected as error:
        return _failed(EXIT_CONFIG, error)
    finally:
        if events is not None:
            events.close()
    if end.code is not None:
        return end.code
    if ranks.leads:
        _tell_end(result, config, stop)
    return 0 if result.finished else EXIT_STOPPED


def _tell_end(result: "RunResult", config: "RunConfig", stop: StopFlag) -> None:
    for verdict in result.verdicts:
        if not verdict.passed:
            _LOG.warning("%s: %s", verdict.guard, verdict.told)
    if not result.finished:
        came = "to another process" if stop.signal is None else str(stop.signal)
        kept = "checkpoint written" if config.checkpoint.every_steps else "no checkpoints wanted"
        _LOG.warning("stopped by signal %s after step %d; %s", came, result.steps, kept)


@contextmanager
def _files_named(out: Path) -> Iterator[None]:
    """Say what the system refused, and from where the run will go on."""
    from training.checkpoint import checkpoint_path, checkpoint_steps

    try:
        yield
    except OSError as error:
        folder = out / "checkpoints"
        steps = checkpoint_steps(folder)
        last = checkpoint_path(folder, steps[-1]) if steps else "none"
        raise OSError(
            f"{out}: a file cannot be written or read: {error}. Last good checkpoint: {last}. Make "
            "room, or make it writable, and resume"
        ) from error


def _load_and_train(options: argparse.Namespace, stop: StopFlag, show: "ProgressCallback") -> int:
    from training.run_file import load_run_config

    try:
        config = load_run_config(options.config, overrides=options.overrides)
    except ValueError as error:
        # All processes of a machine read the same file.
        if os.environ.get(_LOCAL_RANK_VARIABLE, "0") == "0":
            _LOG.error("%s", error)
        return EXIT_CONFIG
    return run_training(config, options.out, show=show, stop=stop)


def _failed(code: int, error: Exception) -> int:
    _LOG.error("%s", error)
    return code


def _train_with_pipes(options: argparse.Namespace, stop: StopFlag) -> int:
    from dagster_pipes import open_dagster_pipes

    code: int | None = None
    try:
        with open_dagster_pipes() as pipes:
            code = _load_and_train(options, stop, _pipes_sender(pipes, stop))
            # torchrun ends with 1 whatever its processes end with.
            pipes.report_custom_message({"exit_code": code})
    except OSError as error:
        if code is None:
            return _failed(EXIT_IO, error)
        _LOG.warning("cannot close the connection to Dagster: %s", error)
    return code


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parse(arguments)
    stop = StopFlag.on_signals()
    launched, rank = _PIPES_VARIABLE in os.environ, os.environ.get(_RANK_VARIABLE)
    # torchrun stands between the launcher and its processes.
    parent = options.parent_pid if rank is None else None
    if (launched or options.parent_pid or rank is not None) and not die_with_parent(parent):
        return EXIT_STOPPED
    logging.basicConfig(format="%(levelname)s: %(message)s", stream=sys.stderr)
    if launched and rank in (None, "0"):
        return _train_with_pipes(options, stop)
    return _load_and_train(options, stop, _printer(options.plain))


if __name__ == "__main__":
    sys.exit(main())

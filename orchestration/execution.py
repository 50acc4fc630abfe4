"""Materialise one partition in this process, or several at a time in worker processes.

Each call is a real Dagster run on the persistent instance, with the gates of what it makes.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import dagster as dg

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One run: some assets of one partition."""

    assets: tuple[str, ...]
    """Asset names, materialised in graph order."""
    partition: str | None
    """Partition key they share."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a run ended."""

    task: Task
    """What ran."""
    error: str | None
    """Message of the first failure; None if all went well."""


def definitions() -> dg.Definitions:
    """The code location, loaded once per process and home: its lake is that of the home."""
    from orchestration import deployments

    return _load(deployments.home())


@cache
def _load(home: Path) -> dg.Definitions:
    from orchestration.definitions import defs

    return defs()


def run_task(task: Task) -> Outcome:
    """Materialise in this process.

    Raises:
        KeyboardInterrupt: Ctrl-C came. Dagster takes it for a failure of the step it hit, so the
            caller would go on with the next task.
    """
    from orchestration import deployments
    from orchestration.device_pool import pid_tags

    warnings.filterwarnings("ignore", category=dg.PreviewWarning)
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    job = definitions().resolve_implicit_global_asset_job_def()
    with deployments.instance() as instance:
        result = job.execute_in_process(
            run_config=QUIET,
            instance=instance,
            partition_key=task.partition,
            asset_selection=[dg.AssetKey(name) for name in task.assets],
            tags=pid_tags(),
            raise_on_error=False,
        )
    if _interrupted(result):
        raise KeyboardInterrupt
    return Outcome(task=task, error=None if result.success else first_error(result))


def run_tasks(tasks: Sequence[Task], *, num_workers: int) -> Iterator[Outcome]:
    """Materialise all tasks; outcomes come as they finish.

    When the caller stops early or Ctrl-C comes, what runs is finished and what waits is dropped.

    Args:
        tasks: Independent of each other.
        num_workers: 1 runs in this process, more in that many worker processes with one numerical
            thread each.
    """
    if num_workers == 1 or len(tasks) < 2:
        yield from map(run_task, tasks)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_prepare_worker)
    try:
        running = {pool.submit(run_task, task) for task in tasks}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare_worker() -> None:
    """One thread, and an end when the parent ends, however it ends (Linux).

    SIGKILL, because Dagster gives SIGTERM the disposition of SIGINT, which may be to ignore it. A
    training process that the worker started gets SIGTERM from its own guard and saves its state.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL("libc.so.6").prctl(set_parent_death_signal, signal.SIGKILL)


def _interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a step was stopped by Ctrl-C."""
    names = {"KeyboardInterrupt", "DagsterExecutionInterruptedError"}
    failures = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    return any(one.error is not None and one.error.cls_name in names for one in failures)


def first_error(result: dg.ExecuteInProcessResult) -> str:
    """The message a person needs: of the innermost cause of the first failed step."""
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            if error is not None:
                return f"{event.step_key}: {error.message.strip()}"
    return "the run failed before its first step; see it in the UI (make dev)"

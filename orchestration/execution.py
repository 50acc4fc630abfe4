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


@cache
def definitions() -> dg.Definitions:
    """The code location, loaded once per process."""
    from orchestration.definitions import defs

    return defs()


def run_task(task: Task) -> Outcome:
    """Materialise in this process."""
    from orchestration import deployments

    warnings.filterwarnings("ignore", category=dg.PreviewWarning)
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    job = definitions().resolve_implicit_global_asset_job_def()
    with deployments.instance() as instance:
        result = job.execute_in_process(
            run_config=QUIET,
            instance=instance,
            partition_key=task.partition,
            asset_selection=[dg.AssetKey(name) for name in task.assets],
            raise_on_error=False,
        )
        return Outcome(task=task, error=None if result.success else _first_error(result))


def run_tasks(tasks: Sequence[Task], *, num_workers: int) -> Iterator[Outcome]:
    """Materialise all tasks; outcomes come as they finish.

    Args:
        tasks: Independent of each other.
        num_workers: 1 runs in this process, more in that many worker processes with one numerical
            thread each.
    """
    if num_workers == 1 or len(tasks) < 2:
        yield from map(run_task, tasks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context, initializer=_prepare_worker) as pool:
        running = {pool.submit(run_task, task) for task in tasks}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # an interrupt starts nothing more


def _prepare_worker() -> None:
    """One thread, and an end when the parent ends, however it ends (Linux).

    SIGKILL, because Dagster gives SIGTERM the disposition of SIGINT, which may be to ignore it. A
    training process that the worker started gets SIGTERM from its own guard and saves its state.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL("libc.so.6").prctl(set_parent_death_signal, signal.SIGKILL)


def _first_error(result: dg.ExecuteInProcessResult) -> str:
    """The message a person needs: of the innermost cause of the first failed step."""
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            if error is not None:
                return f"{event.step_key}: {error.message.strip()}"
    return "the run failed before its first step; see it in the UI (make dev)"

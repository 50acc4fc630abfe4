"""The pool of all that runs a model: how many Dagster runs at a time, on one instance.

The daemon gives back the slots of runs that ended. Where there is none, nobody does it for a killed
run, so a command gives them back before it starts.
"""

import os

import dagster as dg

from assets.gpu_pool import POOL

PID_TAG = "mixwright/pid"
"""Tag of a run in a process of this machine; the daemon's own runs have none."""


def pid_tags() -> dict[str, str]:
    """Tags of a run that this process executes itself."""
    return {PID_TAG: str(os.getpid())}


def set_slots(instance: dg.DagsterInstance, slots: int) -> None:
    """Let at most `slots` trainings run at a time, >= 1."""
    instance.event_log_storage.set_concurrency_slots(POOL, slots)


def release_dead_slots(instance: dg.DagsterInstance) -> int:
    """Give back the slots of runs that ended, or whose process did; return how many runs."""
    storage = instance.event_log_storage
    if POOL not in storage.get_concurrency_keys():
        return 0
    holders = {slot.run_id for slot in storage.get_concurrency_info(POOL).claimed_slots}
    dead = [run_id for run_id in holders if not _alive(instance.get_run_by_id(run_id))]
    for run_id in dead:
        storage.free_concurrency_slots_for_run(run_id)
    return len(dead)


def _alive(run: dg.DagsterRun | None) -> bool:
    if run is None or run.is_finished:
        return False
    pid = run.tags.get(PID_TAG)
    return pid is None or os.path.exists(f"/proc/{pid}")

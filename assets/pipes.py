"""Launches a training process through Dagster Pipes, watches it, and takes it down with its step.

The stock subprocess client leaves grandchildren running, gives up on a process that ignores its
signal, and shows custom messages only when the process has ended. Here the process leads its own
group, which gets SIGTERM, a grace period to write a checkpoint, then SIGKILL; and every message
becomes an asset observation while the run goes on.

Two cases are the training process's own duty, because this process may be killed outright: it asks
the kernel for SIGTERM when its parent dies, and it locks its checkpoint folder against a second
writer. Linux only, for the process descriptors.
"""

import os
import select
import signal
import subprocess
import sys
import threading
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import dagster as dg
from pydantic import Field

from assets.observer import Observer
from assets.pipe_messages import WholeLineMessageReader
from assets.training_outcome import MAX_RETRIES, require_success, said_exit_code

TAIL_LINES = 30
"""Last lines of output that an error message carries."""

Extras = Mapping[str, str | int | float | bool | None]


class TrainingPipesClient(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Runs one training process at a time per step."""

    grace_seconds: float = Field(default=30.0, ge=0)
    """Time between SIGTERM and SIGKILL, seconds."""
    poll_seconds: float = Field(default=0.5, gt=0)
    """Time between two looks at the messages, seconds."""
    observe_every_seconds: float = Field(default=5.0, ge=0)
    """Least time between two observations, seconds; each shows the newest message."""
    max_retries: int = Field(default=MAX_RETRIES, ge=0)
    """How often a process that was stopped or killed is started again."""
    command_prefix: list[str] = Field(default_factory=list)
    """Put before the command, for example `["torchrun", "--standalone", "--nproc-per-node=2"]`."""

    def run(
        self,
        *,
        context: dg.AssetExecutionContext,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        extras: Extras | None = None,
    ) -> dg.PipesClientCompletedInvocation:
        """Run a command to its end; what it reported is in the value returned.

        Args:
            context: The step; its asset and partition get the observations.
            command: Program and arguments; run after `command_prefix`, with the step's directory.
            env: Added to this process's environment, for example the number of threads.
            extras: Passed to the process through Pipes.

        Raises:
            dg.Failure: The process ended by itself with another exit code than 0.
            dg.RetryRequested: It was killed, or ended with 75, which asks to be resumed.
        """
        with _open_session(context, extras or {}) as session:
            observer = Observer(context, least_seconds=self.observe_every_seconds)
            full_env = {**os.environ, **(env or {}), **session.get_bootstrap_env_vars()}
            full_command = [*self.command_prefix, *command]
            with self._running(context, full_command, full_env) as (process, tail):
                while not _ended(process, within_seconds=self.poll_seconds):
                    observer.observe(session.get_custom_messages())
        # Closing the session has read the last messages.
        observer.observe(session.get_custom_messages(), at_once=True)
        require_success(_exit_code(process.returncode, session), tail, max_retries=self.max_retries)
        return dg.PipesClientCompletedInvocation(session)

    @contextmanager
    def _running(
        self, context: dg.AssetExecutionContext, command: Sequence[str], env: Mapping[str, str]
    ) -> Iterator[tuple[subprocess.Popen[str], deque[str]]]:
        """Start a process group and, however the block ends, leave nothing of it alive."""
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        copier = threading.Thread(target=_copy, args=(process, tail), daemon=True)
        try:
            copier.start()
            context.log.info(f"training process {process.pid} started")
            yield process, tail
        finally:
            try:
                if not _ended(process, within_seconds=0):
                    context.log.warning(f"stopping the group of process {process.pid} (SIGTERM)")
                    _signal_group(process, signal.SIGTERM)
                    if not _ended(process, within_seconds=self.grace_seconds):
                        context.log.error(
                            f"process {process.pid} still runs after {self.grace_seconds:g} s: "
                            "SIGKILL; what it did since its last checkpoint is lost"
                        )
            finally:
                # Not reaped yet, so the number still names this group and no other.
                _signal_group(process, signal.SIGKILL)
                process.wait()
                # Ends with the last writer; one that left the group may still hold the pipe.
                copier.join(timeout=5)


@contextmanager
def _open_session(context: dg.AssetExecutionContext, extras: Extras) -> Iterator[dg.PipesSession]:
    with ExitStack() as stack:
        with warnings.catch_warnings():
            # Opening a session, Dagster itself reads two properties that it warns of.
            for own in ("AssetExecutionContext.run_id", ".*PipesMessageReader.expected_writer"):
                warnings.filterwarnings("ignore", message=own)
            session = stack.enter_context(
                dg.open_pipes_session(
                    context=context,
                    context_injector=dg.PipesTempFileContextInjector(),
                    message_reader=WholeLineMessageReader(),
                    extras=dict(extras),
                )
            )
        yield session


def _copy(process: subprocess.Popen[str], tail: deque[str]) -> None:
    """Pass output on line by line, so that Dagster captures it, and keep the end of it."""
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            tail.append(line.rstrip("\n"))
            sys.stderr.write(line)


def _ended(process: subprocess.Popen[str], *, within_seconds: float) -> bool:
    """Wait for the process to end without reaping it, so that its number is not given away."""
    descriptor = os.pidfd_open(process.pid)
    try:
        ready, _, _ = select.select([descriptor], [], [], within_seconds)
    finally:
        os.close(descriptor)
    return bool(ready)


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return  # all of it has ended


def _exit_code(code: int, session: dg.PipesSession) -> int:
    """Return what the training process said of its end if a wrapper like torchrun ended with 1."""
    return (said_exit_code(session.get_custom_messages()) or code) if code == 1 else code

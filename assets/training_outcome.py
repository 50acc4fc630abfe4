"""What the end of a training process means for the step that launched it.

The process says its exit code itself, in a message: torchrun ends with 1 whatever its processes
ended with, and Kubernetes and Ray tell only that a job failed.
"""

import signal
from collections.abc import Mapping, Sequence
from typing import NoReturn

import dagster as dg

EXIT_RESUMABLE = 75
"""The process wrote a checkpoint and wants to be started again (EX_TEMPFAIL)."""
EXITS_CONFIGURATION = frozenset({2, 78})
"""Wrong command line or configuration (EX_CONFIG): starting it again would change nothing."""
EXITS_FINAL = frozenset({65, 70, 71, 73})
"""The loss is not finite, no batch can be drawn, a step does not fit into the memory, or another
process trains in the folder: another attempt would end the same way."""
EXIT_KEY = "exit_code"
"""Key of the custom message with which the training process says its exit code itself."""
MAX_RETRIES = 3
"""How often a process that was stopped or killed is started again, to go on at its last checkpoint;
one that ended by itself would end the same way again."""


def is_report(message: object) -> bool:
    """Whether a custom message tells of the training, and not of its end."""
    return not (isinstance(message, Mapping) and EXIT_KEY in message)


def said_exit_code(messages: Sequence[object]) -> int | None:
    """Return the exit code that the training process announced last; None if it did not."""
    said = [
        int(message[EXIT_KEY])
        for message in messages
        if isinstance(message, Mapping) and EXIT_KEY in message
    ]
    return said[-1] if said else None


def require_success(code: int, tail: Sequence[str], *, max_retries: int = MAX_RETRIES) -> None:
    """Pass if a training ended with exit code 0.

    Args:
        code: Its exit code; minus the number of a signal that killed it.
        tail: Its last lines of output.
        max_retries: How often a step may start it again.

    Raises:
        dg.Failure: It ended by itself with another exit code.
        dg.RetryRequested: It was killed, or ended with 75, which asks to be resumed.
    """
    if code != 0:
        _refuse(
            _failure(code, tail),
            max_retries=max_retries if code == EXIT_RESUMABLE or code < 0 else 0,
        )


def refuse_lost(what: str, messages: Sequence[object]) -> NoReturn:
    """End the step after a cluster told that a job failed.

    Args:
        what: What the cluster said, with the last lines of output.
        messages: All custom messages of the training.

    Raises:
        dg.Failure: The training ended by itself, or it never began to report.
        dg.RetryRequested: It asks to be resumed, or it is gone without a word, as after SIGKILL or
            with its node.
    """
    code = said_exit_code(messages)
    if code:
        require_success(code, what.splitlines())
    if not messages:
        raise dg.Failure(f"the training did not begin. {what}")
    lost = dg.Failure(
        f"the training was lost: it did not say how it ended. Materialised again, it resumes at "
        f"its last checkpoint. {what}"
    )
    _refuse(lost, max_retries=MAX_RETRIES)


def _refuse(failure: dg.Failure, *, max_retries: int) -> NoReturn:
    # Not a RetryPolicy of the asset: Dagster would also apply it to a run that a person
    # terminates, and train on.
    if max_retries:
        raise dg.RetryRequested(max_retries=max_retries) from failure
    raise failure


def _failure(code: int, tail: Sequence[str]) -> dg.Failure:
    last_lines = "\n".join(tail) or "(it printed nothing)"
    if code == EXIT_RESUMABLE:
        what = (
            "training was interrupted and wrote a checkpoint (exit code 75): materialise the same "
            "partition with the same configuration again, and it resumes there"
        )
    elif code in EXITS_CONFIGURATION:
        what = f"training refused its configuration (exit code {code}): correct it and launch again"
    elif code < 0:
        what = (
            f"training was killed by {signal.Signals(-code).name}; if that was SIGKILL, look for "
            "a lack of memory. Materialised again, it resumes at its last checkpoint"
        )
    else:
        what = f"training ended with exit code {code}"
    return dg.Failure(
        description=f"{what}. Its last lines:\n{last_lines}",
        metadata={"exit_code": code, "last_lines": last_lines},
        allow_retries=code not in EXITS_CONFIGURATION | EXITS_FINAL,
    )

"""How a run ends when it cannot go on, and what it says then: step, rows, last good checkpoint."""

from contextlib import suppress
from pathlib import Path

import torch

from training.checkpoint import checkpoint_path, checkpoint_steps
from training.run_session import RunSession
from training.sampler import BatchPlan
from training.training_step import StepMeasures, describe_batch

_MEMORY_WORDS = (
    "DefaultCPUAllocator: can't allocate memory",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""What torch says in other errors than its own for this: on a CPU, from the compiler, for pinned
memory and contexts of a device, from a library of a device."""


class RunRejected(ValueError):
    """The run cannot start: configuration, shards or the state in its folder are wrong."""


class BatchRefused(RuntimeError):
    """No batch can be drawn: a domain is used up, or the mixer's weights are no mixture."""


class TrainingDiverged(RuntimeError):
    """The loss or the gradient is not finite, or the gradient is far too long."""


class OutOfMemory(RuntimeError):
    """A run needs more memory than the device has."""


def _last_checkpoint(session: RunSession) -> str:
    with suppress(OSError):  # the one that is being written may fail; those before it are good
        session.writer.wait()
    saved = checkpoint_steps(session.checkpoints)
    return str(checkpoint_path(session.checkpoints, saved[-1])) if saved else "none"


def refusal_message(session: RunSession, step: int, error: ValueError) -> str:
    """Say why no batch can be drawn."""
    return (
        f"run {session.config.run_id!r}, step {step}: {error}. Last good checkpoint: "
        f"{_last_checkpoint(session)}"
    )


def divergence_message(session: RunSession, step: int, measures: StepMeasures) -> str:
    """Say which loss or gradient is wrong, and in which rows."""
    limit = session.config.schedule.max_grad_norm
    return (
        f"run {session.config.run_id!r}, step {step}: loss {measures.loss}, gradient norm "
        f"{measures.grad_norm} (schedule.max_grad_norm {limit}), learning rate "
        f"{measures.rate:.3g}; the model was not updated. "
        f"Batch: {describe_batch(session.inputs.domains, measures.plan)}. Last good checkpoint: "
        f"{_last_checkpoint(session)}. Lower schedule.peak_lr, lengthen the warm-up or look at "
        "these rows"
    )


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of a step says that memory ran out."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        words in str(error) for words in _MEMORY_WORDS
    )


def memory_message_without_step(run_id: str, device: torch.device, checkpoints: Path) -> str:
    """Say that something other than a step did not fit; nothing is being written any more."""
    saved = checkpoint_steps(checkpoints)
    last = str(checkpoint_path(checkpoints, saved[-1])) if saved else "none"
    return (
        f"run {run_id!r}: out of memory on {device} while the models were opened or evaluated. "
        f"Last good checkpoint: {last}. Set execution.micro_rows lower, or train a smaller model"
    )


def memory_message(session: RunSession, step: int, plan: BatchPlan | None) -> str:
    """Say what did not fit; the plan is None if it was no batch but what a selector measures."""
    share = session.ranks.share(session.config.schedule.batch_rows)
    batch = "not drawn" if plan is None else describe_batch(session.inputs.domains, plan)
    return (
        f"run {session.config.run_id!r}, step {step}: out of memory on {session.device} with "
        f"{min(session.engine.limit, share.stop - share.start)} rows of "
        f"{session.inputs.context_tokens} tokens in a pass. Batch: {batch}. Last good checkpoint: "
        f"{_last_checkpoint(session)}. Set execution.micro_rows lower: the results stay the same"
    )

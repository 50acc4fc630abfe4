"""Trains one model on a mixture: one loop, the same for every mixer, on CPU and CUDA.

    weights = mixer(state)                 what to sample
    plan    = selector(sampler(weights))   which rows
    loss    = weighted mean over rows      mixer and weighter may weigh rows; else all are alike
    step    = clip, AdamW
    states  = observe(...)                 mixer and weighter, with the signals they asked for

Several processes run the same loop (training.ranks): they divide the rows of a batch, sum what they
measured, and sample what the leader's mixer says.

The data order is a pure function of the shards, the seed and the weights so far, and the weights of
the measurements so far. So a run that was stopped anywhere and started again writes, on the CPU,
the same bytes as one that was not: final/, ledger/, metrics.jsonl, result.json.

    out/checkpoints/   the lock, and the state every checkpoint.every_steps
    out/ledger/        which rows were drawn, for which weights
    out/metrics.jsonl  one line per step; step n is the n-th, 0 the state before the first
    out/timings.jsonl  seconds and tokens per second, of all attempts
    out/final/         the trained model, loadable by transformers
    out/config.json    every setting of the run
    out/result.json    written last

Shapes: D domains, B rows of a batch, T context tokens.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from training.checkpoint import lock_folder
from training.checkpoint_tensors import model_tensors
from training.config import RunConfig
from training.durable_files import flush_file, flush_folder, publish, temporary_path
from training.failures import (
    BatchRefused,
    OutOfMemory,
    RunRejected,
    TrainingDiverged,
    divergence_message,
    is_out_of_memory,
    memory_message,
    memory_message_without_step,
    refusal_message,
)
from training.model import save_model
from training.optimisation import learning_rate
from training.policy_calls import (
    draw_batch,
    observe_step,
    row_weighing,
    wanted_alignments,
    wanted_reference,
)
from training.progress import Progress
from training.ranks import ALONE, Ranks
from training.run_folder import (
    copy_tokenizer,
    require_own_folder,
    require_tokenizer,
    write_run_config,
)
from training.run_inputs import open_run_inputs
from training.run_result import HeldoutLoss, RunResult, finished_result, write_result
from training.run_session import RunSession, choose_device, open_session
from training.sampler import BatchPlan
from training.scoring import MeanLoss, evaluate_domains
from training.step_report import (
    ProgressCallback,
    StepReport,
    metrics_line,
    named_losses,
    step_report,
)
from training.training_step import StepMeasures, train_step

__all__ = [
    "BatchRefused",
    "OutOfMemory",
    "RunRejected",
    "RunResult",
    "StepReport",
    "TrainingDiverged",
    "train",
]


def train(
    config: RunConfig,
    out: Path,
    *,
    ranks: Ranks = ALONE,
    on_progress: ProgressCallback | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> RunResult:
    """Train a model, or continue where an earlier attempt in the same folder was stopped.

    On a CPU the process keeps what memory it frees from here on (training.freed_memory).

    Args:
        config: The run.
        out: Its folder, created if need be, the same on all ranks. If it holds the result already,
            nothing is done.
        ranks: The processes that train together; each calls this.
        on_progress: Called after each step, on the leader.
        should_stop: Asked before each step. True on any rank saves a checkpoint, if the run makes
            any, and returns a result with finished=False, which is not written.

    Raises:
        RunRejected: Configuration, shards or what the folder holds do not allow to start.
        RunLocked: Another process trains in the folder.
        TrainingDiverged: A loss or gradient is not finite, or the gradient is longer than
            schedule.max_grad_norm. The parameters of the last checkpoint are still good.
        OutOfMemory: Models, evaluation or a step do not fit into the device's memory.
        BatchRefused: A domain is used up and the policy is "error".
        OSError: A file cannot be written; the last checkpoint is still good.
    """
    with lock_folder(out / "checkpoints") if ranks.leads else nullcontext():
        try:
            digest = config.digest()
            done = finished_result(out, run_id=config.run_id, config_digest=digest)
            if done is not None:
                return done
            if ranks.leads:
                require_own_folder(out)
            device = choose_device(config.device, local_rank=ranks.local_rank)
            inputs = open_run_inputs(config)
            require_tokenizer(config.tokenizer, inputs.manifest.tokenizer_digest)
        except ValueError as error:
            raise RunRejected(str(error)) from error
        with _torch_settings(config, device), _memory_errors(config, device, out):
            try:
                session, progress = open_session(
                    config, inputs, out, config_digest=digest, device=device, ranks=ranks
                )
            except ValueError as error:
                raise RunRejected(str(error)) from error
            if ranks.leads:
                write_run_config(config, out)
            with session.metrics or nullcontext(), session.writer:
                return _run(session, progress, on_progress, should_stop or (lambda: False))


@contextmanager
def _torch_settings(config: RunConfig, device: torch.device) -> Iterator[None]:
    """Set threads and seed for the run; give the caller's settings back."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(config.seed)
        torch.set_num_threads(config.num_threads or threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


@contextmanager
def _memory_errors(config: RunConfig, device: torch.device, out: Path) -> Iterator[None]:
    """Tell of memory that runs out between the steps; a step says it itself, with its rows."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        message = memory_message_without_step(config.run_id, device, out / "checkpoints")
        raise OutOfMemory(message) from error


def _run(
    session: RunSession,
    progress: Progress,
    on_progress: ProgressCallback | None,
    should_stop: Callable[[], bool],
) -> RunResult:
    schedule = session.config.schedule
    heldout: list[MeanLoss] | None = None
    if progress.step == 0:
        heldout = _evaluate_if_wanted(session, progress)
        progress = observe_step(session, progress, heldout, None)
        if heldout is not None:
            named = named_losses(session.inputs.domains, heldout)
            session.record({"step": 0, "heldout": dict(named)})
    while progress.step < schedule.steps:
        if session.ranks.any(should_stop()):
            session.save(progress)
            session.writer.wait()
            session.watch.note(progress.step, now=True)
            return session.result(progress, heldout={}, finished=False)
        progress, measures = _step(session, progress)
        heldout = _evaluate_if_wanted(session, progress)
        progress = observe_step(session, progress, heldout, measures)
        session.record(metrics_line(session, progress, measures, heldout))
        every = session.config.checkpoint.every_steps
        if every is not None and progress.step % every == 0:
            session.save(progress)
        session.watch.note(progress.step)
        if on_progress is not None and session.ranks.leads:
            on_progress(step_report(session, progress, measures, heldout))
    if heldout is None:  # resumed after the last step
        heldout = _evaluate(session)
    return _finish(session, progress, heldout)


def _step(session: RunSession, progress: Progress) -> tuple[Progress, StepMeasures]:
    """Draw a batch and train on it; mixer and weighter have not seen it yet."""
    step = progress.step + 1
    inputs, schedule = session.inputs, session.config.schedule
    plan: BatchPlan | None = None
    try:
        plan, drawn = draw_batch(session, progress)
        with session.watch.measure("data"):
            rows = inputs.batch(plan, slots=session.ranks.share(schedule.batch_rows))
        alignments = wanted_alignments(session, progress, plan)
        with session.watch.measure("step"):
            measures = train_step(
                session.engine,
                session.optimiser,
                rows,
                plan,
                rate=learning_rate(step, schedule),
                clip_norm=schedule.clip_norm,
                max_grad_norm=schedule.max_grad_norm,
                weighing=row_weighing(session, progress, plan),
                reference=wanted_reference(session, progress),
                alignments=alignments,
            )
    except ValueError as error:
        raise BatchRefused(refusal_message(session, step, error)) from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(memory_message(session, step, plan)) from error
    if not measures.taken:
        raise TrainingDiverged(divergence_message(session, step, measures))
    if session.ledger is not None:
        session.ledger.append(step, plan)
    return (
        replace(
            drawn,
            step=step,
            requested_sum=progress.requested_sum + plan.requested,
            realised_rows=progress.realised_rows + plan.counts,
        ),
        measures,
    )


def _evaluate_if_wanted(session: RunSession, progress: Progress) -> list[MeanLoss] | None:
    """Evaluate if the mixer asks, at the interval of the configuration, and at the end."""
    every, step = session.config.evaluation.every_steps, progress.step
    if (
        session.inputs.mixer.wants_evaluation(progress.mixer, step - 1)
        or (every is not None and step % every == 0)
        or step == session.config.schedule.steps
    ):
        return _evaluate(session)
    return None


def _evaluate(session: RunSession) -> list[MeanLoss]:
    with session.watch.measure("evaluation"):
        return evaluate_domains(session.engine.losses_of_rows, session.inputs.heldout_rows)


def _finish(session: RunSession, progress: Progress, heldout: list[MeanLoss]) -> RunResult:
    session.writer.wait()
    tensors = model_tensors(session.model)
    if session.ranks.leads:
        _write_final(session, tensors)
    losses = {
        domain: HeldoutLoss(
            loss_nats=mean.loss_nats, standard_error=mean.standard_error, rows=mean.rows
        )
        for domain, mean in zip(session.inputs.domains, heldout, strict=True)
    }
    result = session.result(progress, heldout=losses, finished=True)
    if session.ranks.leads:
        write_result(result, session.out)
    session.watch.note(progress.step, now=True)
    return result


def _write_final(session: RunSession, tensors: dict[str, Tensor]) -> None:
    assert session.ledger is not None
    assert session.metrics is not None
    session.ledger.finish()
    session.metrics.flushed_bytes()
    final = session.out / "final"
    shutil.rmtree(temporary_path(final), ignore_errors=True)
    shutil.rmtree(final, ignore_errors=True)
    save_model(session.model, temporary_path(final), tensors=tensors)
    copy_tokenizer(session.config.tokenizer, temporary_path(final))
    for path in temporary_path(final).iterdir():
        flush_file(path)
    flush_folder(temporary_path(final))
    publish(final)

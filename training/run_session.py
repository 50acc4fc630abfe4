"""The live objects of a run, fresh or restored from its last checkpoint."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import optim
from transformers import PreTrainedModel

from training.arrays import Floats
from training.checkpoint import Checkpoint, load_latest_checkpoint
from training.checkpoint_tensors import collect_tensors, restore_tensors
from training.checkpoint_writer import CheckpointWriter
from training.config import RunConfig
from training.engine import Engine
from training.freed_memory import keep_freed_memory
from training.journal import MetricsFile, Stopwatch
from training.ledger import Ledger
from training.model import load_model, open_model
from training.optimisation import build_optimiser
from training.policies import Json
from training.pool_measures import PoolMeter
from training.progress import Progress, initial_progress, pack_progress, unpack_progress
from training.ranks import ALONE, Ranks
from training.reference_folder import reference_model_folder
from training.run_inputs import RunInputs
from training.run_result import HeldoutLoss, RunResult

_STEPS_PER_TIMING = 20


@dataclass(kw_only=True, slots=True)
class RunSession:
    """All that lives while a run runs; what changes is in Progress, the model and the files."""

    config: RunConfig
    """The run."""
    config_digest: str
    """Of it."""
    inputs: RunInputs
    """Shards, sampler, mixer, weighter, selector."""
    out: Path
    """Folder of the run."""
    engine: Engine
    """The model on its devices."""
    optimiser: optim.Optimizer
    """Over its parameters."""
    reference: PreTrainedModel | None
    """Model to compare losses with, on the device, in evaluation mode."""
    meter: PoolMeter
    """Measures candidate rows and held-out rows for the policies."""
    ledger: Ledger | None
    """Rows drawn; None on a rank that does not lead."""
    metrics: MetricsFile | None
    """Open; the caller closes it. None on a rank that does not lead."""
    writer: CheckpointWriter
    """Of the checkpoints; the caller closes it."""
    watch: Stopwatch
    """Seconds by phase."""
    saved_step: int
    """Step of the newest checkpoint; 0 if there is none."""

    @property
    def model(self) -> PreTrainedModel:
        """In training mode."""
        return self.engine.model

    @property
    def device(self) -> torch.device:
        """Of the model."""
        return self.engine.device

    @property
    def ranks(self) -> Ranks:
        """The processes."""
        return self.engine.ranks

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.out / "checkpoints"

    def save(self, progress: Progress) -> None:
        """Start to write a checkpoint, unless the run makes none or this step has one.

        All ranks call it.

        Raises:
            OSError: The one before could not be written.
        """
        if self.config.checkpoint.every_steps is None or progress.step == self.saved_step:
            return
        with self.watch.measure("checkpoint"):
            self.writer.wait()
            tensors = collect_tensors(
                self.model, self.optimiser, buffers=self.writer.buffers, keep=self.ranks.leads
            )
            if self.ledger is not None and self.metrics is not None:
                checkpoint = Checkpoint(
                    step=progress.step,
                    config_digest=self.config_digest,
                    tensors=tensors | self.ledger.pending(),
                    state={
                        "progress": pack_progress(progress),
                        "metrics_bytes": self.metrics.flushed_bytes(),
                    },
                )
                self.writer.write(checkpoint)
        self.saved_step = progress.step

    def record(self, line: dict[str, Json]) -> None:
        """Add a line to the metrics."""
        if self.metrics is not None:
            self.metrics.append(line)

    def result(
        self, progress: Progress, *, heldout: dict[str, HeldoutLoss], finished: bool
    ) -> RunResult:
        """Sum up the run so far."""
        inputs, schedule = self.inputs, self.config.schedule
        drawn = progress.step * schedule.batch_rows
        learned = inputs.mixer.learned_weights(progress.mixer)
        return RunResult(
            run_id=self.config.run_id,
            method=self.config.mixer.method,
            config_digest=self.config_digest,
            tokenizer_digest=inputs.manifest.tokenizer_digest,
            shard_digests=self._by_domain([shards.digest for shards in inputs.train]),
            heldout_digests=self._by_domain([shards.digest for shards in inputs.heldout]),
            num_parameters=sum(parameter.numel() for parameter in self.model.parameters()),
            seed=self.config.seed,
            steps=progress.step,
            tokens=drawn * inputs.context_tokens,
            requested_weights=self.named(progress.requested_sum / max(progress.step, 1)),
            realised_shares=self.named(progress.realised_rows / max(drawn, 1)),
            epochs=self.named(progress.sampler.cursors / inputs.sampler.epoch_draws),
            heldout=heldout,
            finished=finished,
            learned_weights=None if learned is None else self.named(learned),
            weights_from=None if inputs.learned is None else inputs.learned.source(),
            verdicts=inputs.mixer.verdicts(progress.mixer) if finished else (),
        )

    def named(self, values: Floats) -> dict[str, float]:
        """Key a vector over domains, shape (D,), by domain."""
        return dict(zip(self.inputs.domains, values.tolist(), strict=True))

    def _by_domain(self, values: list[str]) -> dict[str, str]:
        return dict(zip(self.inputs.domains, values, strict=True))


def choose_device(name: str, *, local_rank: int = 0) -> torch.device:
    """Return the device for "auto", "cpu" or "cuda": the CUDA device of this number if any.

    Raises:
        ValueError: CUDA is asked for and there is none, or there are fewer devices than processes.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: 'cuda', but torch finds no CUDA device; use 'auto' or 'cpu'")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    if local_rank >= (found := torch.cuda.device_count()):
        raise ValueError(
            f"device: {name!r}, but process {local_rank} of this machine finds {found} CUDA "
            "devices; start one process for each device that is visible"
        )
    return torch.device("cuda", local_rank)


def open_session(
    config: RunConfig,
    inputs: RunInputs,
    out: Path,
    *,
    config_digest: str,
    device: torch.device,
    ranks: Ranks = ALONE,
) -> tuple[RunSession, Progress]:
    """Build the run, or restore it from the newest usable checkpoint in out/checkpoints.

    The leader tidies the files of the run; the other ranks only read its checkpoints.

    Args:
        config: The run.
        inputs: What it reads.
        out: Its folder.
        config_digest: Of the configuration.
        device: Of this process.
        ranks: The processes.

    Raises:
        ValueError: No such architecture, or the checkpoint belongs to another run or relies on a
            file that is gone.
    """
    _require_divisible(config, inputs, ranks)
    checkpoint = _newest_checkpoint(out / "checkpoints", config_digest=config_digest, ranks=ranks)
    if device.type == "cpu":
        keep_freed_memory()
    engine = Engine(
        _fresh_model(config, inputs, initialised=checkpoint is None),
        device=device,
        context_tokens=inputs.context_tokens,
        precision=config.precision,
        execution=config.execution,
        ranks=ranks,
    )
    model = engine.model
    optimiser = build_optimiser(model, config.schedule)
    if checkpoint is None:
        progress, metrics_bytes = initial_progress(inputs), 0
    else:
        progress, metrics_bytes = _restore_values(checkpoint, inputs)
        restore_tensors(checkpoint.tensors, model, optimiser)
    if ranks.leads:
        shutil.rmtree(out / "final", ignore_errors=True)
    session = RunSession(
        config=config,
        config_digest=config_digest,
        inputs=inputs,
        out=out,
        engine=engine,
        optimiser=optimiser,
        reference=_open_reference(config, inputs, engine),
        meter=_pool_meter(config, inputs, engine, optimiser),
        ledger=_open_ledger(out / "ledger", inputs.domains, checkpoint) if ranks.leads else None,
        metrics=(
            MetricsFile(out / "metrics.jsonl", num_bytes=metrics_bytes) if ranks.leads else None
        ),
        writer=CheckpointWriter(out / "checkpoints", keep_last=config.checkpoint.keep_last),
        watch=Stopwatch(
            out / "timings.jsonl" if ranks.leads else None,
            step=progress.step,
            tokens_per_step=config.schedule.batch_rows * config.model.context_tokens,
            every_steps=_STEPS_PER_TIMING,
            num_gpus=ranks.size if engine.device.type == "cuda" else 0,
        ),
        saved_step=progress.step,
    )
    return session, progress


def _require_divisible(config: RunConfig, inputs: RunInputs, ranks: Ranks) -> None:
    rows, size = config.schedule.batch_rows, ranks.size
    divided = size > 1 and config.execution.parallel == "fsdp"
    if rows < size or (divided and rows % size):
        raise ValueError(
            f"schedule.batch_rows {rows} cannot be divided among {size} processes: every one needs "
            "a row, and with execution.parallel fsdp all need the same number"
        )


def _newest_checkpoint(folder: Path, *, config_digest: str, ranks: Ranks) -> Checkpoint | None:
    """Load it; the leader goes first, for it removes what an interrupted write left."""
    if not ranks.leads:
        ranks.wait()
    checkpoint = load_latest_checkpoint(folder, config_digest=config_digest)
    if ranks.leads:
        ranks.wait()
    return checkpoint


def _open_ledger(folder: Path, domains: tuple[str, ...], checkpoint: Checkpoint | None) -> Ledger:
    if checkpoint is None:
        return Ledger(folder, domains)
    return Ledger.resume(folder, domains, step=checkpoint.step, tensors=checkpoint.tensors)


def _fresh_model(
    config: RunConfig, inputs: RunInputs, *, initialised: bool = True
) -> PreTrainedModel:
    """Build the model as it is before the first step, on the CPU."""
    return open_model(
        config.model,
        vocab_size=inputs.manifest.vocab_size,
        eos_id=inputs.manifest.eos_id,
        seed=config.seed,
        initialised=initialised,
    )


def _open_reference(config: RunConfig, inputs: RunInputs, engine: Engine) -> PreTrainedModel | None:
    if config.reference is None:
        return None
    folder = reference_model_folder(Path(config.reference))
    try:
        model = load_model(folder)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"reference: the model in {folder} cannot be read: {error}") from error
    if model.config.vocab_size != inputs.manifest.vocab_size:
        raise ValueError(
            f"reference: {config.reference} has {model.config.vocab_size} tokens, the shards have "
            f"{inputs.manifest.vocab_size}; take a model of the same tokenizer"
        )
    return engine.adopt(model).eval()


def _pool_meter(
    config: RunConfig, inputs: RunInputs, engine: Engine, optimiser: optim.Optimizer
) -> PoolMeter:
    wants_initial = "initial_losses" in inputs.selector.reads
    return PoolMeter(
        inputs=inputs,
        engine=engine,
        optimiser=optimiser,
        initial_model=(
            engine.adopt(_fresh_model(config, inputs)).eval() if wants_initial else None
        ),
        seed=config.seed,
    )


def _restore_values(checkpoint: Checkpoint, inputs: RunInputs) -> tuple[Progress, int]:
    packed, metrics_bytes = checkpoint.state["progress"], checkpoint.state["metrics_bytes"]
    assert isinstance(packed, dict)
    assert isinstance(metrics_bytes, int)
    return unpack_progress(packed, inputs), metrics_bytes

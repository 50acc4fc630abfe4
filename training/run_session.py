"""The live objects of a run, fresh or restored from its last checkpoint."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import optim
from transformers import PreTrainedModel

from training.arrays import Floats
from training.checkpoint import Checkpoint, load_latest_checkpoint, save_checkpoint
from training.checkpoint_tensors import collect_tensors, restore_tensors
from training.config import RunConfig
from training.journal import MetricsFile, Stopwatch
from training.ledger import Ledger
from training.model import build_model, load_model
from training.optimisation import build_optimiser
from training.pool_measures import PoolMeter
from training.progress import Progress, initial_progress, pack_progress, unpack_progress
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
    device: torch.device
    """Of the model."""
    model: PreTrainedModel
    """In training mode."""
    optimiser: optim.Optimizer
    """Over its parameters."""
    reference: PreTrainedModel | None
    """Model to compare losses with, on the device, in evaluation mode."""
    meter: PoolMeter
    """Measures candidate rows and held-out rows for the policies."""
    ledger: Ledger
    """Rows drawn."""
    metrics: MetricsFile
    """Open; the caller closes it."""
    watch: Stopwatch
    """Seconds by phase."""
    saved_step: int
    """Step of the newest checkpoint; 0 if there is none."""

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.out / "checkpoints"

    def save(self, progress: Progress) -> None:
        """Write a checkpoint, unless the run makes none or this step has one."""
        settings = self.config.checkpoint
        if settings.every_steps is None or progress.step == self.saved_step:
            return
        with self.watch.measure("checkpoint"):
            checkpoint = Checkpoint(
                step=progress.step,
                config_digest=self.config_digest,
                tensors=collect_tensors(self.model, self.optimiser) | self.ledger.pending(),
                state={
                    "progress": pack_progress(progress),
                    "metrics_bytes": self.metrics.flushed_bytes(),
                },
            )
            save_checkpoint(checkpoint, self.checkpoints, keep_last=settings.keep_last)
        self.saved_step = progress.step

    def result(
        self, progress: Progress, *, heldout: dict[str, HeldoutLoss], finished: bool
    ) -> RunResult:
        """Sum up the run so far."""
        inputs, schedule = self.inputs, self.config.schedule
        drawn = progress.step * schedule.batch_rows
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
        )

    def named(self, values: Floats) -> dict[str, float]:
        """Key a vector over domains, shape (D,), by domain."""
        return dict(zip(self.inputs.domains, values.tolist(), strict=True))

    def _by_domain(self, values: list[str]) -> dict[str, str]:
        return dict(zip(self.inputs.domains, values, strict=True))


def choose_device(name: str) -> torch.device:
    """Return the device for "auto", "cpu" or "cuda".

    Raises:
        ValueError: CUDA is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: 'cuda', but torch finds no CUDA device; use 'auto' or 'cpu'")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def open_session(
    config: RunConfig, inputs: RunInputs, out: Path, *, config_digest: str
) -> tuple[RunSession, Progress]:
    """Build the run, or restore it from the newest usable checkpoint in out/checkpoints.

    Raises:
        ValueError: No such device or architecture, or the checkpoint belongs to another run or
            relies on a file that is gone.
    """
    device = choose_device(config.device)
    model = _fresh_model(config, inputs).to(device).train()
    optimiser = build_optimiser(model, config.schedule)
    checkpoint = load_latest_checkpoint(out / "checkpoints", config_digest=config_digest)
    if checkpoint is None:
        progress = initial_progress(inputs)
        ledger = Ledger(out / "ledger", inputs.domains)
        metrics_bytes = 0
    else:
        progress, metrics_bytes = _restore_values(checkpoint, inputs)
        ledger = Ledger.resume(
            out / "ledger", inputs.domains, step=checkpoint.step, tensors=checkpoint.tensors
        )
        restore_tensors(checkpoint.tensors, model, optimiser)
    shutil.rmtree(out / "final", ignore_errors=True)
    session = RunSession(
        config=config,
        config_digest=config_digest,
        inputs=inputs,
        out=out,
        device=device,
        model=model,
        optimiser=optimiser,
        reference=_open_reference(config, inputs, device),
        meter=_pool_meter(config, inputs, model, optimiser),
        ledger=ledger,
        metrics=MetricsFile(out / "metrics.jsonl", num_bytes=metrics_bytes),
        watch=Stopwatch(
            out / "timings.jsonl",
            step=progress.step,
            tokens_per_step=config.schedule.batch_rows * config.model.context_tokens,
            every_steps=_STEPS_PER_TIMING,
            holds_gpu=device.type == "cuda",
        ),
        saved_step=progress.step,
    )
    return session, progress


def _fresh_model(config: RunConfig, inputs: RunInputs) -> PreTrainedModel:
    """Build the model as it is before the first step, on the CPU."""
    return build_model(
        config.model,
        vocab_size=inputs.manifest.vocab_size,
        eos_id=inputs.manifest.eos_id,
        seed=config.seed,
    )


def _open_reference(
    config: RunConfig, inputs: RunInputs, device: torch.device
) -> PreTrainedModel | None:
    if config.reference is None:
        return None
    model = load_model(reference_model_folder(Path(config.reference)))
    if model.config.vocab_size != inputs.manifest.vocab_size:
        raise ValueError(
            f"reference: {config.reference} has {model.config.vocab_size} tokens, the shards have "
            f"{inputs.manifest.vocab_size}; take a model of the same tokenizer"
        )
    return model.to(device).eval()


def _pool_meter(
    config: RunConfig, inputs: RunInputs, model: PreTrainedModel, optimiser: optim.Optimizer
) -> PoolMeter:
    wants_initial = "initial_losses" in inputs.selector.reads
    return PoolMeter(
        inputs=inputs,
        model=model,
        optimiser=optimiser,
        initial_model=_fresh_model(config, inputs).to(model.device).eval()
        if wants_initial
        else None,
        device=model.device,
        batch_rows=config.schedule.batch_rows,
        seed=config.seed,
    )


def _restore_values(checkpoint: Checkpoint, inputs: RunInputs) -> tuple[Progress, int]:
    packed, metrics_bytes = checkpoint.state["progress"], checkpoint.state["metrics_bytes"]
    assert isinstance(packed, dict)
    assert isinstance(metrics_bytes, int)
    return unpack_progress(packed, inputs), metrics_bytes

"""Training speed on a GPU: 160 million parameters, 1024 tokens of context, bfloat16, compiled.

    python -m benchmarks.gpu             uniform and Aioli, under ten minutes on one H100
    python -m benchmarks.gpu --tiny      a small model for a few steps, on a CPU too: does it run?

Needs nothing but this repository and torch: the tokens are random, speed does not depend on them.
Steps are timed on the wall clock from one report to the next, so all that a run does is in it; the
first ones, in which the model is compiled, are left out.

    FLOPs of a token = 6 N + 12 L H T     N parameters without the input embedding, L layers,
                                          H width, T context; recomputation is not counted
    utilisation      = tokens/s * FLOPs of a token / peak FLOP/s of the card in dense bfloat16

The convention is that of Chowdhery et al. 2022, "PaLM", arXiv:2204.02311, appendix B.
"""

import argparse
import dataclasses
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.comparison import Comparison, Family, Inputs

if TYPE_CHECKING:
    from training.config import MixerConfig, RunConfig

NUM_DOMAINS = 7
PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12}
"""Dense bfloat16 by a part of the name of the card; of H100 and H200 the SXM versions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """What is trained, and for how long."""

    hidden_size: int
    num_layers: int
    num_heads: int
    intermediate_size: int
    vocab_size: int
    context_tokens: int
    batch_rows: int
    micro_rows: int | None
    steps: int
    skipped_steps: int
    """Steps that are not timed."""
    domain_tokens: int
    compiled: bool


FULL = Scale(
    hidden_size=768,
    num_layers=12,
    num_heads=12,
    intermediate_size=2048,
    vocab_size=50_304,
    context_tokens=1024,
    batch_rows=256,
    micro_rows=32,
    steps=100,
    skipped_steps=20,
    domain_tokens=6_000_000,
    compiled=True,
)
"""162 million parameters, embedding and output apart; 0.26 million tokens a step."""

TINY = Scale(
    hidden_size=32,
    num_layers=2,
    num_heads=2,
    intermediate_size=64,
    vocab_size=512,
    context_tokens=32,
    batch_rows=16,
    micro_rows=8,
    steps=30,
    skipped_steps=10,
    domain_tokens=20_000,
    compiled=False,
)


def measure(inputs: Inputs) -> Family:
    """Uniform weights against Aioli's on the GPU; nothing is measured without one."""
    import torch

    if not torch.cuda.is_available():
        return Family(rows=[], notes=["There is no CUDA device."])
    return compare(FULL, peak=None)


def compare(scale: Scale, *, peak: float | None) -> Family:
    """Train twice with each mixer, by turns.

    Args:
        scale: What is trained.
        peak: FLOP/s of the device in dense bfloat16; None: by its name, if it is known.
    """
    seconds: dict[str, list[float]] = {"uniform": [], "aioli": []}
    with tempfile.TemporaryDirectory() as folder:
        config = _config(scale, Path(folder))
        for turn in range(2):
            for method, measured in seconds.items():
                mixed = dataclasses.replace(config, mixer=_mixer(method, scale))
                measured.append(_seconds(mixed, scale, Path(folder) / f"{method}-{turn}"))
    tokens = (scale.steps - scale.skipped_steps) * scale.batch_rows * scale.context_tokens
    row = Comparison(
        step="train on uniform weights",
        peer="Aioli",
        unit="ktokens/s",
        amount=tokens / 1e3,
        ours=seconds["uniform"],
        theirs=seconds["aioli"],
    )
    return Family(rows=[row], notes=_notes(scale, tokens, seconds, peak))


def _notes(
    scale: Scale, tokens: int, seconds: dict[str, list[float]], peak: float | None
) -> list[str]:
    import torch

    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "a CPU"
    known = [value for name, value in PEAK_FLOPS.items() if name in card]
    limit = peak if peak is not None else (known[0] if known else None)
    flops = flops_per_token(scale)
    notes = [
        f"On {card}; seconds of the wall clock; {scale.batch_rows * scale.context_tokens:,} tokens "
        f"a step; {flops / 1e9:.3f} GFLOP a token."
    ]
    for method, measured in seconds.items():
        rate = tokens / statistics.median(measured)
        share = "unknown, give --peak" if limit is None else f"{rate * flops / limit:.1%}"
        notes.append(f"{method}: {rate:,.0f} tokens/s, model FLOP utilisation {share}.")
    return notes


def flops_per_token(scale: Scale) -> float:
    """FLOPs of forward and backward pass for one token."""
    block = 4 * scale.hidden_size**2 + 3 * scale.hidden_size * scale.intermediate_size
    parameters = scale.num_layers * block + scale.vocab_size * scale.hidden_size
    attention = 12 * scale.num_layers * scale.hidden_size * scale.context_tokens
    return 6.0 * parameters + attention


def _config(scale: Scale, folder: Path) -> "RunConfig":
    from training.config import (
        EvaluationConfig,
        ExecutionConfig,
        MixerConfig,
        ModelConfig,
        RunConfig,
        ScheduleConfig,
    )
    from training.shards import write_token_shards

    rng = np.random.default_rng(0)
    domains = {}
    for domain in range(NUM_DOMAINS):
        domains[f"domain-{domain}"] = str(folder / f"domain-{domain}")
        for split, share in (("train", 1.0), ("heldout", 0.1)):
            out = folder / f"domain-{domain}" / split
            out.mkdir(parents=True)
            size = int(share * scale.domain_tokens)
            tokens = rng.integers(1, scale.vocab_size, size=size).astype(np.uint32)
            write_token_shards(
                [("document", 1, tokens)],
                out,
                vocab_size=scale.vocab_size,
                eos_id=0,
                tokenizer_digest="none",
            )
    return RunConfig(
        run_id="gpu",
        domains=domains,
        model=ModelConfig(
            hidden_size=scale.hidden_size,
            num_layers=scale.num_layers,
            num_heads=scale.num_heads,
            intermediate_size=scale.intermediate_size,
            context_tokens=scale.context_tokens,
        ),
        schedule=ScheduleConfig(
            steps=scale.steps, batch_rows=scale.batch_rows, peak_lr=6e-4, warmup_steps=10
        ),
        mixer=MixerConfig(method="uniform"),
        evaluation=EvaluationConfig(rows_per_domain=8),
        epoch_policy="allow",
        execution=ExecutionConfig(micro_rows=scale.micro_rows, compile=scale.compiled),
    )


def _mixer(method: str, scale: Scale) -> "MixerConfig":
    from training.config import MixerConfig

    if method == "uniform":
        return MixerConfig(method="uniform")
    # One round over all timed steps, with two sweeps of probes.
    timed = scale.steps - scale.skipped_steps
    return MixerConfig(
        method="aioli", settings={"round_steps": timed, "probe_steps": 1, "sweeps": 2}
    )


def _seconds(config: "RunConfig", scale: Scale, out: Path) -> float:
    from training.loop import train

    marks: dict[int, float] = {}
    train(config, out, on_progress=lambda report: marks.update({report.step: time.perf_counter()}))
    return marks[scale.steps] - marks[scale.skipped_steps]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--tiny", action="store_true", help="a small model, on a CPU too")
    parser.add_argument("--peak", type=float, help="FLOP/s of the card in dense bfloat16")
    given = parser.parse_args()
    family = compare(TINY if given.tiny else FULL, peak=given.peak)
    print("\n".join([*(row.row() for row in family.rows), *family.notes]))


if __name__ == "__main__":
    main()
